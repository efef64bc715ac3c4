//! How an API says where its next page is, and that there is none.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sheaf_sdk::url::Url;
use sheaf_sdk::{Error, Result, schemars};

use crate::expression::{Expression, shown};

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Paging {
    /// How the next page is found.
    pub kind: Kind,
    /// An expression: where an answer has what the next page is asked for with. For `next-url`, `cursor`
    /// and `parameters`.
    pub value: Option<String>,
    /// The parameter that says which page. For `cursor`, `offset` and `page-number`.
    pub parameter: Option<String>,
    /// The first page's number, for `page-number`. Otherwise 1.
    pub first: Option<u64>,
    /// An expression: how many items the whole list has.
    pub total: Option<String>,
    /// A header that says how many items the whole list has, such as "X-Total-Count".
    pub total_header: Option<String>,
    /// An expression that holds in the list's last answer, and in no other.
    pub end: Option<String>,
    /// Whether one page may be all of the list where nothing says that no other follows.
    #[serde(default)]
    pub one_page: bool,
    /// Whether items move to other pages when others come or go. Otherwise that is so for pages that are
    /// counted, and the list is read twice.
    pub shifts: Option<bool>,
    /// Ask `base_url` for the next page, whichever host its URL names.
    #[serde(default)]
    pub keep_host: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A `Link` header with `rel="next"`.
    LinkHeader,
    /// The answer has the next page's URL.
    NextUrl,
    /// The answer has a token, which the next request sends.
    Cursor,
    /// The answer has an object, whose fields the next request sends.
    Parameters,
    /// The next request says how many items to leave out.
    Offset,
    /// The next request says the page's number.
    PageNumber,
}

/// The same, ready for use.
pub struct Pages {
    way: Way,
    total: Option<Total>,
    end: Option<Expression>,
    pub one_page: bool,
    shifts: Option<bool>,
    pub keep_host: bool,
}

enum Way {
    LinkHeader,
    NextUrl(Expression),
    Cursor(Expression, String),
    Parameters(Expression),
    Offset(String),
    PageNumber(String, u64),
}

enum Total {
    Found(Expression),
    Header(String),
}

/// Which page: a URL of its own, or the list's with more parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// Items before it.
    #[serde(default)]
    pub items: u64,
    /// Pages before it.
    #[serde(default)]
    pub pages: u64,
}

/// What follows on a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    Page(Place),
    /// Nothing; and whether the answer says so, rather than just naming no other page.
    End {
        said: bool,
    },
}

/// What an answer says besides its items.
pub struct Said<'a> {
    pub answer: &'a Value,
    /// Its headers, by name.
    pub header: &'a dyn Fn(&str) -> Option<String>,
    /// How many items it has.
    pub items: usize,
}

impl Pages {
    pub fn new(paging: &Paging, endpoint: &str) -> Result<Self> {
        let wrong = |what: String| {
            Error::fix_settings(format!("`paging` of the endpoint `{endpoint}` {what}"))
        };
        let kind = paging.kind;
        let name = match kind {
            Kind::LinkHeader => "link-header",
            Kind::NextUrl => "next-url",
            Kind::Cursor => "cursor",
            Kind::Parameters => "parameters",
            Kind::Offset => "offset",
            Kind::PageNumber => "page-number",
        };
        let value = || match &paging.value {
            Some(value) => Expression::new(value),
            None => Err(wrong(format!("lacks `value`, which `{name}` needs"))),
        };
        let parameter = || match &paging.parameter {
            Some(parameter) => Ok(parameter.clone()),
            None => Err(wrong(format!("lacks `parameter`, which `{name}` needs"))),
        };
        let way = match kind {
            Kind::LinkHeader => Way::LinkHeader,
            Kind::NextUrl => Way::NextUrl(value()?),
            Kind::Cursor => Way::Cursor(value()?, parameter()?),
            Kind::Parameters => Way::Parameters(value()?),
            Kind::Offset => Way::Offset(parameter()?),
            Kind::PageNumber => Way::PageNumber(parameter()?, paging.first.unwrap_or(1)),
        };
        let takes_value = matches!(kind, Kind::NextUrl | Kind::Cursor | Kind::Parameters);
        let takes_parameter = matches!(kind, Kind::Cursor | Kind::Offset | Kind::PageNumber);
        for (key, given, taken) in [
            ("value", paging.value.is_some(), takes_value),
            ("parameter", paging.parameter.is_some(), takes_parameter),
            ("first", paging.first.is_some(), kind == Kind::PageNumber),
        ] {
            if given && !taken {
                return Err(wrong(format!("has `{key}`, for which `{name}` has no use")));
            }
        }
        let total = match (&paging.total, &paging.total_header) {
            (Some(_), Some(_)) => return Err(wrong("has both `total` and `total_header`".into())),
            (Some(total), None) => Some(Total::Found(Expression::new(total)?)),
            (None, Some(header)) => Some(Total::Header(header.clone())),
            (None, None) => None,
        };
        let end = paging.end.as_deref().map(Expression::new).transpose()?;
        let Paging { one_page, shifts, keep_host, .. } = *paging;
        Ok(Self { way, total, end, one_page, shifts, keep_host })
    }

    /// Whether the next page is asked for by a number that this connector counts itself.
    pub fn counts(&self) -> bool {
        matches!(self.way, Way::Offset(_) | Way::PageNumber(..))
    }

    /// How many items the list has, where the settings say how to know.
    pub fn total(&self, said: &Said<'_>) -> Result<Option<u64>> {
        let (found, setting) = match &self.total {
            None => return Ok(None),
            Some(Total::Found(expression)) => (shown(&expression.find(said.answer)?), "total"),
            Some(Total::Header(name)) => ((said.header)(name), "total_header"),
        };
        let number = found.as_deref().and_then(|text| text.trim().parse::<i64>().ok());
        let found = found.as_deref().unwrap_or("nothing");
        // Less than nothing says that it is not known.
        number.map(|number| number.try_into().ok()).ok_or_else(|| {
            Error::fix_settings(format!("`{setting}` finds {found} where a number should be"))
        })
    }

    /// What follows on `place`, whose answer this is.
    pub fn next(&self, place: &Place, said: &Said<'_>) -> Result<Next> {
        let found = self.found(place, said)?;
        // A list that ends in a circle was not read to its end. A token may stay the same while items come.
        if let Next::Page(next) = &found
            && !matches!(self.way, Way::Cursor(..))
            && (&next.url, &next.parameters) == (&place.url, &place.parameters)
        {
            return Err(Error::retry("the source names the same page as the next one"));
        }
        let Some(end) = &self.end else { return Ok(found) };
        match (found, end.holds(said.answer)?) {
            (_, true) => Ok(Next::End { said: true }),
            (Next::End { .. }, false) => Err(Error::retry(
                "an answer names no next page, and is not the last: `end` does not hold in it",
            )),
            (page, false) => Ok(page),
        }
    }

    fn found(&self, place: &Place, said: &Said<'_>) -> Result<Next> {
        let items = place.items + said.items as u64;
        let next = Place { items, pages: place.pages + 1, ..Place::default() };
        let with = |parameters| Next::Page(Place { parameters, ..next.clone() });
        let at = |url| Next::Page(Place { url: Some(url), ..next.clone() });
        let one = |name: &String, value: String| with(BTreeMap::from([(name.clone(), value)]));
        Ok(match &self.way {
            Way::Offset(_) | Way::PageNumber(..) if said.items == 0 => Next::End { said: false },
            Way::Offset(parameter) => one(parameter, items.to_string()),
            Way::PageNumber(parameter, first) => one(parameter, (first + next.pages).to_string()),
            Way::LinkHeader => match (said.header)("link") {
                Some(header) => match next_link(&header) {
                    Some(url) => at(url),
                    // It names other pages, so that it would name the next one, too.
                    None => Next::End { said: header.contains("rel=") },
                },
                None => Next::End { said: false },
            },
            Way::NextUrl(value) => match text(value, said.answer)? {
                Some(url) => at(url),
                None => Next::End { said: value.is_there(said.answer) },
            },
            Way::Cursor(value, parameter) => match text(value, said.answer)? {
                // Some sources repeat their token until there are no more items.
                Some(token)
                    if said.items == 0 && place.parameters.get(parameter) == Some(&token) =>
                {
                    Next::End { said: true }
                }
                Some(token) => one(parameter, token),
                None => Next::End { said: value.is_there(said.answer) },
            },
            Way::Parameters(value) => match value.find(said.answer)? {
                Value::Object(fields) if !fields.is_empty() => {
                    let text =
                        |(name, value): (&String, &Value)| Some((name.clone(), shown(value)?));
                    with(fields.iter().filter_map(text).collect())
                }
                Value::Null | Value::Bool(false) | Value::Object(_) => {
                    Next::End { said: value.is_there(said.answer) }
                }
                other => return Err(unusable(value, &other, "no object")),
            },
        })
    }

    /// Whether items may move to pages that were read before, so that the list's end proves nothing: pages are
    /// counted, openly or in what the source names.
    pub fn shifts(&self, asked: &Url, place: &Place, next: &Next) -> bool {
        if let Some(shifts) = self.shifts {
            return shifts;
        }
        if self.counts() {
            return true;
        }
        let Next::Page(next) = next else { return false };
        let named: BTreeMap<_, _> = match next.url.as_deref().map(|url| asked.join(url)) {
            Some(Ok(url)) => url.query_pairs().into_owned().collect(),
            Some(Err(_)) => return false,
            None => next.parameters.clone(),
        };
        let asked: BTreeMap<_, _> = asked.query_pairs().into_owned().collect();
        let number = |text: &String| text.parse::<u64>().ok();
        let sizes: Vec<u64> = named.values().chain(asked.values()).filter_map(number).collect();
        let here = next.items - place.items;
        named.iter().any(|(name, value)| {
            let Some(value) = number(value) else { return false };
            match asked.get(name).and_then(number) {
                // The same list, a page further: by one, or by as many items as a page has.
                Some(before) => value.checked_sub(before).is_some_and(|step| {
                    step > 0 && (step == 1 || step == here || sizes.contains(&step))
                }),
                None => value > 0 && (value == 1 || value == 2 || value == next.items),
            }
        })
    }
}

/// The text or number that an expression finds; nothing where there is none.
fn text(value: &Expression, answer: &Value) -> Result<Option<String>> {
    Ok(match value.find(answer)? {
        Value::Null | Value::Bool(false) => None,
        Value::Array(values) if values.is_empty() => None,
        Value::String(text) => Some(text).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        other => return Err(unusable(value, &other, "no text")),
    })
}

fn unusable(value: &Expression, found: &Value, why: &str) -> Error {
    let found: String = found.to_string().chars().take(60).collect();
    Error::fix_settings(format!("`value` of `paging`, `{value}`, finds {found}, which is {why}"))
}

/// The URL of `rel="next"` in `Link` headers. A URL may have commas: it ends at its `>`.
fn next_link(header: &str) -> Option<String> {
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
    use serde_json::json;

    use super::*;

    fn pages(paging: Value) -> Pages {
        Pages::new(&serde_json::from_value(paging).expect("paging"), "list").expect("ready")
    }

    fn follows(
        paging: Value,
        place: &Place,
        answer: &Value,
        link: Option<&str>,
        items: usize,
    ) -> Result<Next> {
        let header = |_: &str| link.map(str::to_owned);
        pages(paging).next(place, &Said { answer, header: &header, items })
    }

    fn next(paging: Value, answer: &Value, link: Option<&str>, items: usize) -> Next {
        follows(paging, &Place::default(), answer, link, items).expect("found")
    }

    const SAID: Next = Next::End { said: true };
    const UNSAID: Next = Next::End { said: false };

    #[test]
    fn each_kind_of_paging_finds_the_next_page() {
        let header =
            r#"<https://a.example.com/1>; rel="prev", <https://a.example.com/3>; rel="next""#;
        let Next::Page(place) = next(json!({ "kind": "link-header" }), &json!([]), Some(header), 2)
        else {
            panic!("a page")
        };
        assert_eq!(place.url.as_deref(), Some("https://a.example.com/3"));
        let answer = json!({ "next": "x", "continue": { "a": 1, "b": "||" }, "none": null });
        for (paging, parameters) in [
            (json!({ "kind": "cursor", "value": "next", "parameter": "c" }), json!({ "c": "x" })),
            (json!({ "kind": "parameters", "value": "continue" }), json!({ "a": "1", "b": "||" })),
            (json!({ "kind": "offset", "parameter": "o" }), json!({ "o": "2" })),
            (json!({ "kind": "page-number", "parameter": "p" }), json!({ "p": "2" })),
            (json!({ "kind": "page-number", "parameter": "p", "first": 0 }), json!({ "p": "1" })),
        ] {
            let Next::Page(place) = next(paging.clone(), &answer, None, 2) else {
                panic!("a page: {paging}")
            };
            assert_eq!(json!(place.parameters), parameters, "{paging}");
        }
    }

    #[test]
    fn an_end_that_is_said_is_told_from_one_that_is_not() {
        let answer = json!({ "none": null, "page": { "next": "", "more": false }, "continue": {} });
        let prev = r#"<https://a.example.com/1>; rel="prev""#;
        for (paging, link, end) in [
            (json!({ "kind": "cursor", "value": "none", "parameter": "c" }), None, SAID),
            (json!({ "kind": "cursor", "value": "nxt", "parameter": "c" }), None, UNSAID),
            (json!({ "kind": "next-url", "value": "page.next" }), None, SAID),
            (json!({ "kind": "next-url", "value": "/page/next" }), None, SAID),
            (json!({ "kind": "next-url", "value": "page.nxt" }), None, UNSAID),
            (json!({ "kind": "parameters", "value": "continue" }), None, SAID),
            (json!({ "kind": "parameters", "value": "goon" }), None, UNSAID),
            (json!({ "kind": "link-header" }), Some(prev), SAID),
            (json!({ "kind": "link-header" }), None, UNSAID),
            (json!({ "kind": "link-header", "end": "page.more == `false`" }), None, SAID),
        ] {
            assert_eq!(next(paging.clone(), &answer, link, 2), end, "{paging}");
        }
        assert_eq!(next(json!({ "kind": "offset", "parameter": "o" }), &answer, None, 0), UNSAID);
        // Where the settings say what the last answer has, nothing else ends the list.
        for paging in [
            json!({ "kind": "cursor", "value": "none", "parameter": "c", "end": "page.more" }),
            json!({ "kind": "offset", "parameter": "o", "end": "page.more" }),
        ] {
            assert!(follows(paging, &Place::default(), &answer, None, 0).is_err());
        }
    }

    #[test]
    fn a_value_that_can_be_no_page_is_an_error() {
        let answer = json!({ "more": true, "links": ["https://a.example.com/2"] });
        for value in ["more", "links"] {
            for kind in ["next-url", "parameters"] {
                let paging = json!({ "kind": kind, "value": value });
                let error = follows(paging, &Place::default(), &answer, None, 2).expect_err("none");
                assert!(error.to_string().contains(value), "{error}");
            }
        }
    }

    #[test]
    fn a_source_that_names_the_same_page_again_is_not_at_its_end() {
        let next_url = json!({ "kind": "next-url", "value": "next" });
        let place = Place { url: Some("https://a.example.com/2".into()), ..Place::default() };
        let answer = json!({ "next": "https://a.example.com/2" });
        assert!(follows(next_url, &place, &answer, None, 2).is_err());
        // But a token may stay the same while items come, and an empty page may have another one.
        let cursor = json!({ "kind": "cursor", "value": "next", "parameter": "c" });
        let at = |token: &str| {
            let parameters = BTreeMap::from([("c".to_owned(), token.to_owned())]);
            Place { parameters, ..Place::default() }
        };
        let answer = json!({ "next": "x" });
        for (place, items, ends) in [(at("x"), 2, false), (at("x"), 0, true), (at("w"), 0, false)] {
            let next = follows(cursor.clone(), &place, &answer, None, items).expect("found");
            assert_eq!(matches!(next, Next::End { .. }), ends, "{place:?}");
        }
    }

    #[test]
    fn pages_that_are_counted_are_noticed_in_what_a_source_names() {
        let next_url = || pages(json!({ "kind": "next-url", "value": "next" }));
        let shifts = |asked: &str, url: &str, items: u64| {
            let place = Place { items: 100, pages: 2, ..Place::default() };
            let next =
                Place { url: Some(url.into()), items: 100 + items, pages: 3, ..Place::default() };
            let asked = asked.parse().expect("a URL");
            next_url().shifts(&asked, &place, &Next::Page(next))
        };
        for (asked, next, counted) in [
            ("https://a.example.com/x?page=2", "?page=3", true),
            ("https://a.example.com/x?offset=100&limit=50", "?offset=150&limit=50", true),
            ("https://a.example.com/x?o=100", "?o=130", true),
            ("https://a.example.com/x", "?page=2", true),
            ("https://a.example.com/x?after=100&limit=50", "?after=7311&limit=50", false),
            ("https://a.example.com/x?cursor=abc", "?cursor=abd", false),
            ("https://a.example.com/x?limit=50", "?limit=50&cursor=abd", false),
        ] {
            assert_eq!(shifts(asked, next, 30), counted, "{next}");
        }
        let said = pages(json!({ "kind": "page-number", "parameter": "p", "shifts": false }));
        let asked = "https://a.example.com/x".parse().expect("a URL");
        assert!(!said.shifts(&asked, &Place::default(), &UNSAID));
    }

    #[test]
    fn a_total_is_a_number() {
        let header = |_: &str| Some(" 7 ".to_owned());
        let answer = json!({ "meta": { "total": 12, "word": "many" } });
        let said = Said { answer: &answer, header: &header, items: 2 };
        let total = |more: Value| {
            let mut paging = json!({ "kind": "offset", "parameter": "o" });
            paging
                .as_object_mut()
                .expect("an object")
                .extend(more.as_object().expect("more").clone());
            pages(paging).total(&said)
        };
        assert_eq!(total(json!({})).expect("none"), None);
        assert_eq!(total(json!({ "total": "meta.total" })).expect("found"), Some(12));
        assert_eq!(total(json!({ "total_header": "X-Total" })).expect("found"), Some(7));
        assert!(total(json!({ "total": "meta.word" })).is_err());
        assert!(total(json!({ "total": "meta.none" })).is_err());
    }

    #[test]
    fn settings_that_a_kind_lacks_or_has_no_use_for_are_named() {
        for (paging, part) in [
            (json!({ "kind": "cursor", "value": "next" }), "lacks `parameter`, which `cursor`"),
            (json!({ "kind": "next-url" }), "lacks `value`, which `next-url`"),
            (json!({ "kind": "offset", "parameter": "o", "first": 0 }), "has `first`"),
        ] {
            let paging: Paging = serde_json::from_value(paging).expect("paging");
            let error = Pages::new(&paging, "list").err().expect("refused").to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_link_s_url_may_have_commas() {
        let header = r#"<https://a.example.com/x?fields=id,t&page=1>; rel="prev", </x?fields=id,t&page=3>; title="a"; rel="next""#;
        assert_eq!(next_link(header).as_deref(), Some("/x?fields=id,t&page=3"));
        assert_eq!(next_link(r#"<https://a.example.com/1>; rel="prev""#), None);
    }
}
