//! Contract 0.1.0: its bindings, of what each connector exports.

wasmtime::component::bindgen!({
    path: "../wit/0.1.0",
    world: "document-connector",
    exports: { default: async },
});

#[cfg(test)]
mod tests {
    use crate::connector::Digest;

    #[test]
    fn the_contract_of_0_1_0_is_the_one_that_was_published() {
        let text = include_bytes!("../../../wit/0.1.0/connector.wit");
        assert_eq!(
            Digest::of(text).to_string(),
            "sha256:7953f74aafc4b9a44e04a1d298bf245232371aed10c7d6dcdc87c17f6899a735",
            "it is frozen, to its comments: docs/contract.md says how it grows"
        );
    }
}
