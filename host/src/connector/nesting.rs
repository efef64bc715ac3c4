//! How deep types stand within types. Whoever reads them goes down as deep as they do, and no length stands
//! before one: what is inside is found by reading it. So it is read here first, without going down.

use wasmparser::{BinaryReader, ComponentType, ComponentTypeDeclaration, Result};

/// Toolchains go three deep: an interface in a component's type.
pub(super) const DEEPEST: usize = 30;

/// The bytes before a type that holds declarations, which may be types again: a component's and an instance's.
const WITH_DECLARATIONS: [u8; 2] = [0x41, 0x42];
/// The byte before a declaration that is a type.
const TYPE: u8 = 0x01;

/// Whether no type of a section of types stands deeper than [`DEEPEST`].
pub(super) fn is_flat(mut section: BinaryReader<'_>) -> Result<bool> {
    // How many are left to be read at each depth.
    let mut left = vec![section.read_var_u32()?];
    while let Some(count) = left.last_mut() {
        let Some(fewer) = count.checked_sub(1) else {
            left.pop();
            continue;
        };
        *count = fewer;
        if left.len() > 1 {
            if next(&section)? != TYPE {
                section.read::<ComponentTypeDeclaration<'_>>()?;
                continue;
            }
            section.read_u8()?;
        }
        if !WITH_DECLARATIONS.contains(&next(&section)?) {
            section.read::<ComponentType<'_>>()?;
            continue;
        }
        section.read_u8()?;
        left.push(section.read_var_u32()?);
        if left.len() > DEEPEST {
            return Ok(false);
        }
    }
    Ok(true)
}

fn next(reader: &BinaryReader<'_>) -> Result<u8> {
    reader.clone().read_u8()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many instances' types within one another.
    fn nested(depth: usize) -> Vec<u8> {
        let mut section = vec![1];
        section.extend([0x42, 0x01, 0x01].repeat(depth));
        section.extend([0x42, 0x00]);
        section
    }

    #[test]
    fn types_within_types_are_read_without_going_down() {
        let is_flat = |section: &[u8]| is_flat(BinaryReader::new(section, 0)).ok();
        assert_eq!(is_flat(&nested(DEEPEST - 2)), Some(true));
        assert_eq!(is_flat(&nested(DEEPEST - 1)), Some(false));
        assert_eq!(is_flat(&nested(1_000_000)), Some(false));
        // Side by side they are no deeper, and what is no type is passed over.
        let mut wide = vec![2, 0x42, 101];
        wide.extend([0x01, 0x42, 0x00].repeat(100));
        wide.extend([0x04, 0x00, 0x01, b'a', 0x05, 0x00, 0x40, 0x00, 0x01, 0x00]);
        assert_eq!(is_flat(&wide), Some(true));
        assert_eq!(is_flat(&[1, 0x42, 0x05]), None, "it ends too early");
    }
}
