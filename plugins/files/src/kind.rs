//! What a file is, by its name.

/// How a file's content is handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// As text, under this MIME type.
    Text(&'static str),
    /// As it is, under this MIME type.
    Binary(&'static str),
}

/// Files without an extension that are text all the same.
const TEXT_NAMES: &[&str] = &[
    "README",
    "CHANGELOG",
    "CHANGES",
    "COPYING",
    "COPYRIGHT",
    "LICENSE",
    "NEWS",
    "NOTICE",
    "TODO",
    "AUTHORS",
    "CONTRIBUTING",
    "INSTALL",
];

impl Kind {
    /// Nothing for a type that is not known.
    pub(crate) fn of(path: &str) -> Option<Self> {
        let name = path.rsplit('/').next().unwrap_or(path);
        let Some((stem, extension)) = name.rsplit_once('.') else {
            let known = TEXT_NAMES.iter().any(|known| name.eq_ignore_ascii_case(known));
            return known.then_some(Self::Text("text/plain"));
        };
        if stem.is_empty() {
            return None;
        }
        Some(match extension.to_ascii_lowercase().as_str() {
            "md" | "markdown" | "mdx" => Self::Text("text/markdown"),
            "html" | "htm" | "xhtml" => Self::Text("text/html"),
            "txt" | "text" | "rst" | "adoc" | "asciidoc" | "org" => Self::Text("text/plain"),
            "csv" => Self::Text("text/csv"),
            "pdf" => Self::Binary("application/pdf"),
            "doc" => Self::Binary("application/msword"),
            "xls" => Self::Binary("application/vnd.ms-excel"),
            "ppt" => Self::Binary("application/vnd.ms-powerpoint"),
            "docx" => Self::Binary(
                "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            ),
            "xlsx" => {
                Self::Binary("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")
            }
            "pptx" => Self::Binary(
                "application/vnd.openxmlformats-officedocument.presentationml.presentation",
            ),
            "odt" => Self::Binary("application/vnd.oasis.opendocument.text"),
            "ods" => Self::Binary("application/vnd.oasis.opendocument.spreadsheet"),
            "odp" => Self::Binary("application/vnd.oasis.opendocument.presentation"),
            "rtf" => Self::Binary("application/rtf"),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_tells_the_type() {
        for (path, kind) in [
            ("a/B.MD", Some(Kind::Text("text/markdown"))),
            ("index.html", Some(Kind::Text("text/html"))),
            ("a/readme", Some(Kind::Text("text/plain"))),
            ("report.pdf", Some(Kind::Binary("application/pdf"))),
            ("a/.md", None),
            ("photo.jpg", None),
            ("a.b/Makefile", None),
        ] {
            assert_eq!(Kind::of(path), kind, "{path}");
        }
    }
}
