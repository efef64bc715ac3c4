//! `[connections.NAME.grants]`: what a connector may reach.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use http::HeaderName;
use ipnet::IpNet;
use serde::Deserialize;
use url::Url;

use super::locate::{Locate, without_user};
use crate::failure::{Failure, Result};
use crate::sandbox::credentials::{self, ClientAuth, Form, OAuth};
use crate::sandbox::folders::{FolderGrant, check_guest_path};
use crate::sandbox::policy::{Methods, Pattern};
use crate::sandbox::{Granted, egress};
use crate::secret::Source;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct Section {
    #[serde(default)]
    hosts: Vec<String>,
    #[serde(default)]
    networks: Vec<String>,
    methods: Option<Vec<String>>,
    #[serde(default)]
    folders: BTreeMap<String, PathBuf>,
    #[serde(default)]
    tls: Tls,
    #[serde(default)]
    credentials: BTreeMap<String, Credential>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
struct Tls {
    ca: Option<PathBuf>,
    client_certificate: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
struct Credential {
    bearer: Option<Source>,
    basic: Option<Basic>,
    header: Option<Header>,
    oauth: Option<OAuthSection>,
    #[serde(default)]
    hosts: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
struct Basic {
    username: String,
    password: Source,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
struct Header {
    name: String,
    value: Source,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
struct OAuthSection {
    token_url: String,
    client_id: String,
    client_secret: Option<Source>,
    refresh_token: Option<Source>,
    scope: Option<String>,
    audience: Option<String>,
    #[serde(default)]
    client_auth: ClientAuth,
}

impl Section {
    pub(super) fn validate(self, name: &str, base: &Path, locate: &Locate<'_>) -> Result<Granted> {
        let at = |key| ["connections", name, "grants", key];
        let patterns = |texts: &[String], keys: &[&str]| {
            let parse = |text: &String| {
                text.parse::<Pattern>().map_err(|why| {
                    let text = without_user(text);
                    locate.failure(keys, format!("`{text}` cannot be granted: {why}")).next(
                        "write `wiki.example.com`, `*.example.com`, `wiki.example.com:8443` or `http://localhost:8080`",
                    )
                })
            };
            texts.iter().map(parse).collect::<Result<Vec<_>>>()
        };
        let hosts = patterns(&self.hosts, &at("hosts"))?;
        let networks = self.networks.iter().map(|text| {
            text.parse::<IpNet>().map_err(|_| {
                locate
                    .failure(&at("networks"), format!("`{text}` is not a network"))
                    .next("write it like 10.0.0.0/8 or fd00::/8")
            })
        });
        let networks = networks.collect::<Result<Vec<_>>>()?;
        let methods = methods(self.methods.as_deref(), &at("methods"), locate)?;
        let folders = self.folders.into_iter().map(|(guest, host)| {
            let place = || locate.place(&["connections", name, "grants", "folders", &guest]);
            check_guest_path(&guest).map_err(|failure| failure.at(place()))?;
            Ok(FolderGrant { host: base.join(host), guest })
        });
        let folders = folders.collect::<Result<_>>()?;
        let mut credentials = BTreeMap::new();
        for (credential, section) in self.credentials {
            let keys = ["connections", name, "grants", "credentials", &credential];
            let only = patterns(&section.hosts, &[&keys[..], &["hosts"]].concat())?;
            if let Some(other) = only.iter().find(|host| !hosts.contains(host)) {
                return Err(locate
                    .failure(
                        &[&keys[..], &["hosts"]].concat(),
                        format!("`{other}` is not granted to the connection"),
                    )
                    .next(
                        "write the host as it stands in `hosts` of the grants, or add it there",
                    ));
            }
            let form = section.form().map_err(|failure| failure.at(locate.place(&keys)))?;
            let named = !credential.is_empty()
                && credential.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
            if !named {
                return Err(locate
                    .failure(&keys, format!("`{credential}` is not a credential's name"))
                    .next("use letters, digits, `-` and `_`"));
            }
            let grant = credentials::Grant { form, hosts: only, base: base.to_owned() };
            credentials.insert(credential, grant);
        }
        let file = |path: Option<PathBuf>| path.map(|path| base.join(path));
        let tls = egress::Tls {
            ca: file(self.tls.ca),
            client_certificate: file(self.tls.client_certificate),
        };
        Ok(Granted { folders, hosts, networks, methods, tls, credentials })
    }
}

/// With which methods the hosts may be asked; left out, with all that are let out at all.
fn methods(names: Option<&[String]>, keys: &[&str], locate: &Locate<'_>) -> Result<Methods> {
    let wrong = |what: String| {
        let next = format!("name some of {}, or leave it out for all of them", Methods::all());
        locate.failure(keys, what).next(next)
    };
    match names {
        None => Ok(Methods::default()),
        Some([]) => Err(wrong("it names no method".into())),
        Some(names) => {
            Methods::only(names).map_err(|name| wrong(format!("`{name}` cannot be granted")))
        }
    }
}

impl Credential {
    fn form(self) -> Result<Form> {
        let Self { bearer, basic, header, oauth, .. } = self;
        Ok(match (bearer, basic, header, oauth) {
            (Some(source), None, None, None) => Form::Bearer(source),
            (None, Some(Basic { username, password }), None, None) => {
                if username.contains(':') {
                    return Err(Failure::settings("a username cannot hold a colon")
                        .next("write the user's name alone; the password comes from its source"));
                }
                Form::Basic { username, password }
            }
            (None, None, Some(Header { name, value }), None) => {
                // Not shown: it may be the value, in the wrong place.
                let name = HeaderName::try_from(&name).map_err(|_| {
                    Failure::settings("`name` is not a header's name")
                        .next("write it like X-Api-Key; `value` says where the value comes from")
                })?;
                Form::Header { name, value }
            }
            (None, None, None, Some(oauth)) => Form::OAuth(oauth.validate()?),
            _ => {
                return Err(Failure::settings(
                    "a credential is one of bearer, basic, header and oauth",
                )
                .next("write for example: bearer = { env = \"WIKI_TOKEN\" }"));
            }
        })
    }
}

impl OAuthSection {
    fn validate(self) -> Result<OAuth> {
        let url: Option<Url> = self.token_url.parse().ok();
        let token_url = url.filter(|url| {
            let local = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
            (url.scheme() == "https" || url.scheme() == "http" && local)
                && url.username().is_empty()
        });
        let token_url = token_url.ok_or_else(|| {
            let url = without_user(&self.token_url);
            Failure::settings(format!("`{url}` is not a token server's URL"))
                .next("write an https URL; http is for this machine only")
        })?;
        if self.client_secret.is_none() && self.refresh_token.is_none() {
            return Err(Failure::settings("there is neither a client secret nor a refresh token")
                .next("set `client_secret`, `refresh_token`, or both"));
        }
        Ok(OAuth {
            token_url,
            client_id: self.client_id,
            client_secret: self.client_secret,
            refresh_token: self.refresh_token,
            scope: self.scope,
            audience: self.audience,
            client_auth: self.client_auth,
        })
    }
}
