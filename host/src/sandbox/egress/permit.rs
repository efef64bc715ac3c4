//! What an egress may do: a grant without its secrets, and without where they come from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::grant::Grant;
use crate::sandbox::credentials::Place;
use crate::sandbox::limits::HttpLimits;
use crate::sandbox::policy::Policy;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Permit {
    pub policy: Policy,
    pub limits: HttpLimits,
    /// Where each granted credential goes, by its name.
    pub credentials: BTreeMap<String, Place>,
}

impl Grant {
    pub fn permit(&self) -> Permit {
        let place = |(name, grant): (&String, _)| (name.clone(), Place::of(grant));
        Permit {
            policy: self.policy.clone(),
            limits: self.limits.clone(),
            credentials: self.credentials.iter().map(place).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use http::HeaderName;

    use super::*;
    use crate::sandbox::credentials::{self, Form};
    use crate::sandbox::policy::{Methods, Pattern};
    use crate::secret::Source;

    const PATTERNS: [&str; 12] = [
        "wiki.example.com",
        "https://wiki.example.com",
        "https://wiki.example.com:443",
        "wiki.example.com:443",
        "http://wiki.example.com:80",
        "*.example.com:8443",
        "http://*.b\u{fc}cher.example",
        "http://localhost:8080",
        "10.1.2.3",
        "[fd00::1]",
        "http://[::ffff:10.1.2.3]:8080",
        "under_score.example.com",
    ];

    #[test]
    fn a_permit_is_the_same_after_it_was_sent_and_holds_no_secret() {
        let patterns: Vec<Pattern> =
            PATTERNS.iter().map(|text| text.parse().expect("a pattern")).collect();
        let of_url = Pattern::of_url("https://wiki.example.com/a").expect("a pattern");
        let form = Form::Header {
            name: HeaderName::from_static("x-api-key"),
            value: Source::Env("THE_SOURCE".into()),
        };
        let credential =
            credentials::Grant { form, hosts: patterns.clone(), base: PathBuf::from("/the-base") };
        let mut grant = Grant {
            policy: Policy {
                granted: patterns,
                asked: vec![of_url],
                networks: ["10.1.2.3/8", "fd00::/7", "10.1.2.3/32"]
                    .map(|text| text.parse().expect("a network"))
                    .to_vec(),
                methods: Methods::only(&["PROPFIND".into(), "GET".into()]).expect("methods"),
            },
            credentials: BTreeMap::from([("api".to_owned(), credential)]),
            ..Grant::default()
        };
        grant.limits.host_requests_per_second = 0.3;
        for permit in [grant.permit(), Permit::default()] {
            let sent = postcard::to_stdvec(&permit).expect("it can be sent");
            assert_eq!(postcard::from_bytes::<Permit>(&sent).as_ref(), Ok(&permit));
            assert!(!String::from_utf8_lossy(&sent).to_ascii_lowercase().contains("the"));
        }
        assert_eq!(grant.permit().credentials["api"].header, "x-api-key");
    }
}
