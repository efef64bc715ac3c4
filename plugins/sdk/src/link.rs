//! The `Link` header (RFC 8288).

/// The URL of `rel="next"` in a `Link` header, as it stands there. A URL may have commas: it ends at its `>`.
pub fn next_link(header: &str) -> Option<String> {
    let mut rest = header;
    while let Some((_, after)) = rest.split_once('<') {
        let (url, after) = after.split_once('>')?;
        let parameters = after.split('<').next().unwrap_or_default();
        let is_next = parameters.split([';', ',']).any(|parameter| {
            let parameter = parameter.trim().to_ascii_lowercase();
            parameter
                .strip_prefix("rel=")
                .is_some_and(|rel| rel.trim_matches('"').split(' ').any(|rel| rel == "next"))
        });
        if is_next {
            return Some(url.to_owned());
        }
        rest = after;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_s_url_may_have_commas() {
        let header = r#"<https://a.example.com/x?fields=id,t&page=1>; rel="prev", </x?fields=id,t&page=3>; title="a"; rel="next""#;
        assert_eq!(next_link(header).as_deref(), Some("/x?fields=id,t&page=3"));
        assert_eq!(next_link(r#"<https://a.example.com/1>; rel="prev""#), None);
    }
}
