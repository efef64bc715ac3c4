//! The setting `paging`, ready for use.

use std::collections::BTreeMap;

use sheaf_sdk::url::Url;
use sheaf_sdk::{Error, Result};

use crate::expression::{Expression, shown};
use crate::paging::place::{Next, Place, Said};
use crate::paging::setting::{Paging, wrong};
use crate::paging::way::Way;

/// The pages of a list.
pub(crate) struct Pages {
    way: Way,
    total: Option<Total>,
    end: Option<Expression>,
    pub one_page: bool,
    shifts: Option<bool>,
    pub keep_host: bool,
}

enum Total {
    Found(Expression),
    Header(String),
}

impl Pages {
    pub(crate) fn new(paging: &Paging, list: &str) -> Result<Self> {
        let way = Way::new(paging, list)?;
        let total = match (&paging.total, &paging.total_header) {
            (Some(_), Some(_)) => {
                return Err(wrong(list, "has both `total` and `total_header`"));
            }
            (Some(total), None) => Some(Total::Found(Expression::new(total)?)),
            (None, Some(header)) => Some(Total::Header(header.clone())),
            (None, None) => None,
        };
        let end = paging.end.as_deref().map(Expression::new).transpose()?;
        let Paging { one_page, shifts, keep_host, .. } = *paging;
        Ok(Self { way, total, end, one_page, shifts, keep_host })
    }

    /// Whether the next page is asked for by a number that this connector counts itself.
    pub(crate) fn counts(&self) -> bool {
        self.way.counts()
    }

    /// Whether the settings say how to know how many items the list has.
    pub(crate) fn tells_total(&self) -> bool {
        self.total.is_some()
    }

    /// How many items the list has, where the settings say how to know.
    pub(crate) fn total(&self, said: &Said<'_>) -> Result<Option<u64>> {
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
    pub(crate) fn next(&self, place: &Place, said: &Said<'_>) -> Result<Next> {
        let found = self.way.next(place, said)?;
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

    /// Whether items may move to pages that were read before, so that the list's end proves nothing: pages are
    /// counted, openly or in what the source names.
    pub(crate) fn shifts(&self, asked: &Url, place: &Place, next: &Next) -> bool {
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

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
}
