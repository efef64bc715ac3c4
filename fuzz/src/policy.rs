//! What a connector asks for, and what an operator grants.

use sheaf::sandbox::policy::{Denied, InvalidTarget, Pattern, Target};

/// A URL: the one that is checked is the one that is requested, and can be granted as it is shown.
pub fn url(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let (url, target) = match Target::parse(&text) {
        Ok(parsed) => parsed,
        Err(denied) => {
            is_told_in_short(&denied);
            return false;
        }
    };
    assert_eq!(url.scheme(), target.scheme.name());
    assert_eq!(url.host_str(), Some(target.host.to_string().as_str()));
    assert_eq!(url.port_or_known_default(), Some(target.port));
    assert!(url.username().is_empty() && url.password().is_none());
    assert_eq!(Target::parse(url.as_str()), Ok((url, target.clone())), "there is one spelling");
    let shown = target.to_string();
    assert!(granted(&shown).grants(&target), "{shown}");
    let asked = Pattern::of_url(&text).expect("a setting with it stands for its host");
    assert_eq!((asked.to_string(), asked.grants(&target)), (shown, true));
    true
}

fn is_told_in_short(invalid: &InvalidTarget) {
    let failure = Denied::from(invalid.clone()).failure("wiki", &[]);
    assert!(failure.to_string().len() < 3_000, "{failure}");
}

/// A pattern of hosts, and on the next line a URL: what is shown of the pattern means the same, and it grants no
/// URL but those that it shows.
pub fn host(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let (text, url) = text.split_once('\n').unwrap_or((&text, ""));
    let Ok(pattern) = text.parse::<Pattern>() else { return false };
    let shown = pattern.to_string();
    let again = granted(&shown);
    assert_eq!(again.to_string(), shown);
    let sent = serde_json::to_string(&pattern).expect("it is a text");
    assert_eq!(serde_json::from_str::<Pattern>(&sent).ok().as_ref(), Some(&pattern), "{sent}");
    if let Ok((_, target)) = Target::parse(url) {
        assert_eq!(pattern.grants(&target), again.grants(&target), "{shown} {target}");
        assert_eq!(pattern.grants(&target), names(&shown, &target.to_string()), "{shown} {target}");
    }
    // A host that it names is granted, unless `a.` in front makes the name too long.
    let scheme = if shown.starts_with("http://") { "" } else { "https://" };
    if let Ok((_, target)) = Target::parse(&format!("{scheme}{}/", shown.replace('*', "a"))) {
        assert!(pattern.grants(&target), "{shown}");
    } else {
        assert!(shown.len() > 250, "{shown}");
    }
    true
}

/// Whether a pattern names a target, going by nothing but the spelling of both.
fn names(pattern: &str, target: &str) -> bool {
    match pattern.split_once("*.") {
        None => target == pattern,
        Some((scheme, below)) => target
            .strip_prefix(scheme)
            .filter(|rest| !rest.contains("://"))
            .and_then(|rest| rest.strip_suffix(below))
            .is_some_and(|front| front.len() > 1 && front.ends_with('.')),
    }
}

fn granted(shown: &str) -> Pattern {
    shown.parse().unwrap_or_else(|why| panic!("`{shown}` is shown and cannot be granted: {why}"))
}
