//! The matrix: after each change in a company, Glean's answer to who sees what is that of a model which knows nothing of
//! Sheaf. What fails and who kills crawls meanwhile is in `identities_faults`.

use sheaf_tests::company::{Company, Firm};

/// As long as an id may be in Glean.
const LONG: &str = "a-group-with-a-name-of-two-hundred-characters-which-is-as-long-as-an-id-may-be-in-glean-\
    and-so-a-name-that-sources-may-well-have-of-which-nothing-is-cut-off-and-which-no-other-group-has-as-well-at-all";

const GROUPS: [&str; 9] =
    ["hr", "staff", "Site Owners", "größe", LONG, "ring", "empty", "100%", "people"];
/// Documents for whoever is in all of these.
const BOTH: [&[&str]; 3] = [&["hr", "staff"], &["hr", "Site Owners", "größe"], &["people", "ring"]];

const USERS: [&str; 5] =
    ["ann@x.com", "Bob@x.com=bob", "cid@x.com", "dot@x.com", "jürgen@x.com=jürgen"];

type Case<'a> = (&'a str, &'a [&'a str], &'a [(&'a str, &'a [&'a str])]);

/// A company from change to change: each case is what comes after the one before it.
const CASES: &[Case<'_>] = &[
    ("members by e-mail, in whatever case", &USERS, &[("hr", &["ANN@x.com"])]),
    ("by id", &USERS, &[("hr", &["bob"]), ("staff", &["cid@x.com"])]),
    (
        "an id is another's from now on",
        &["ann@x.com", "Bob@x.com", "cid@x.com=bob", "dot@x.com", "jürgen@x.com=jürgen"],
        &[("hr", &["bob"]), ("staff", &["cid@x.com"])],
    ),
    (
        "letters that not all have, in names and in e-mails",
        &USERS,
        &[("hr", &["jürgen"]), ("staff", &["jürgen@x.com"]), ("größe", &["jürgen", "bob"])],
    ),
    (
        "an inactive user is in groups, by name and through another",
        &["-ann@x.com", "Bob@x.com=bob", "cid@x.com", "dot@x.com", "-jürgen@x.com=jürgen"],
        &[("hr", &["ann@x.com", "jürgen", "cid@x.com"]), ("staff", &["group:hr"])],
    ),
    (
        "and is active again, and somebody else is not",
        &["ann@x.com", "-Bob@x.com=bob", "cid@x.com", "dot@x.com", "jürgen@x.com=jürgen"],
        &[("hr", &["ann@x.com", "jürgen", "bob"]), ("staff", &["group:hr"])],
    ),
    (
        "in a group in a group, five deep",
        &USERS,
        &[
            ("hr", &["ann@x.com"]),
            ("staff", &["group:hr", "bob"]),
            ("Site Owners", &["group:staff"]),
            ("größe", &["group:Site Owners"]),
            (LONG, &["group:größe", "dot@x.com"]),
        ],
    ),
    (
        "the innermost has others: all around it have them",
        &USERS,
        &[
            ("hr", &["cid@x.com"]),
            ("staff", &["group:hr", "bob"]),
            ("Site Owners", &["group:staff"]),
            ("größe", &["group:Site Owners"]),
            (LONG, &["group:größe", "dot@x.com"]),
        ],
    ),
    (
        "a link of the chain is taken out",
        &USERS,
        &[
            ("hr", &["cid@x.com"]),
            ("staff", &["group:hr", "bob"]),
            ("Site Owners", &[]),
            ("größe", &["group:Site Owners"]),
            (LONG, &["group:größe", "dot@x.com"]),
        ],
    ),
    (
        "in a circle",
        &USERS,
        &[
            ("hr", &["ann@x.com", "group:ring"]),
            ("staff", &["group:hr"]),
            ("ring", &["group:staff", "cid@x.com"]),
            ("Site Owners", &[]),
            ("größe", &[]),
            (LONG, &[]),
        ],
    ),
    (
        "a group that is in itself",
        &USERS,
        &[
            ("hr", &["group:hr", "bob"]),
            ("staff", &["group:hr", "group:staff"]),
            ("ring", &["group:ring"]),
            ("Site Owners", &[]),
            ("größe", &[]),
            (LONG, &[]),
        ],
    ),
    (
        "one has left a group, and one is new",
        &USERS,
        &[
            ("hr", &["dot@x.com"]),
            ("staff", &["group:hr"]),
            ("ring", &["cid@x.com"]),
            ("Site Owners", &["bob"]),
            ("größe", &["bob"]),
            (LONG, &[]),
        ],
    ),
    (
        "in all of several groups, of which one by another",
        &USERS,
        &[
            ("hr", &["ann@x.com", "bob"]),
            ("staff", &["ann@x.com", "dot@x.com"]),
            ("ring", &["cid@x.com"]),
            ("Site Owners", &["group:hr"]),
            ("größe", &["bob", "cid@x.com"]),
            (LONG, &[]),
        ],
    ),
    (
        "out of one of them, and in the other",
        &USERS,
        &[
            ("hr", &["ann@x.com", "dot@x.com"]),
            ("staff", &["dot@x.com"]),
            ("ring", &["cid@x.com"]),
            ("Site Owners", &["group:hr"]),
            ("größe", &["ann@x.com"]),
            (LONG, &[]),
        ],
    ),
    (
        "a group is called otherwise",
        &USERS,
        &[
            ("people", &["ann@x.com", "dot@x.com"]),
            ("staff", &["dot@x.com"]),
            ("ring", &["cid@x.com", "ann@x.com"]),
            ("Site Owners", &["group:people"]),
            ("größe", &["ann@x.com"]),
            (LONG, &[]),
        ],
    ),
    (
        "and another has the name that it had",
        &USERS,
        &[
            ("people", &["ann@x.com", "dot@x.com"]),
            ("hr", &["bob"]),
            ("staff", &["group:people"]),
            ("ring", &["group:people"]),
            ("Site Owners", &["group:hr"]),
            ("größe", &["bob"]),
            (LONG, &[]),
        ],
    ),
    (
        "all have left",
        &USERS,
        &[
            ("hr", &[]),
            ("staff", &[]),
            ("people", &[]),
            ("ring", &[]),
            ("Site Owners", &[]),
            ("größe", &[]),
            (LONG, &[]),
        ],
    ),
    (
        "names that Glean refuses, and an empty group",
        &USERS,
        &[
            ("hr", &[]),
            ("staff", &[]),
            ("ring", &[]),
            ("people", &[]),
            ("Site Owners", &["ann@x.com"]),
            ("größe", &["cid@x.com"]),
            (LONG, &["bob"]),
            ("empty", &[]),
            ("100%", &["dot@x.com", "group:Site Owners"]),
        ],
    ),
    (
        "one user is gone, and in groups by what is left of the list all the same",
        &["Bob@x.com=bob", "cid@x.com", "dot@x.com", "jürgen@x.com=jürgen"],
        &[
            ("hr", &["cid@x.com"]),
            ("staff", &["group:hr"]),
            ("ring", &[]),
            ("people", &[]),
            ("Site Owners", &["bob"]),
            ("größe", &["cid@x.com"]),
            (LONG, &["bob"]),
            ("empty", &[]),
            ("100%", &["dot@x.com", "group:Site Owners"]),
        ],
    ),
];

/// It is the last test that begins: by then the processors have nothing else to do.
const AT_ONCE: usize = 2;

/// So many changes one after the other, in a company of their own. What the company was before them comes first, so that
/// each case comes after the one before it.
async fn in_order(cases: &[Case<'_>]) {
    let mut firm = Firm::new(&GROUPS).await;
    let company = |(_, users, groups): &Case<'_>| Company::new(users, groups);
    firm.people(&company(&cases[0]));
    assert_eq!(firm.site.sync("docs", 0).await["documents"], GROUPS.len());
    for groups in BOTH {
        firm.requires_all(groups).await;
    }
    let mut before = Company::default();
    for case in cases {
        let (what, company) = (case.0, company(case));
        firm.people(&company);
        let ended = firm.told_or_approved().await;
        assert_eq!(ended.code, 0, "{what}: {ended:?}");
        firm.check_also(&before, &company, what).await;
        before = company;
        let requests = firm.site.glean.drill().requests();
        let again = firm.told(0).await;
        assert_eq!(again["left_out"]["count"], 0, "{what}: {again}");
        assert_eq!(again["changed_groups"], 0, "{what}: {again}");
        // Nothing has changed: nothing is asked of Glean.
        assert_eq!(firm.site.glean.drill().requests(), requests, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_finds_a_document_is_who_the_source_says_after_each_change() {
    assert_eq!(LONG.len(), 200);
    let some = CASES.len().div_ceil(AT_ONCE);
    let starts = (0..CASES.len()).step_by(some);
    let parts = starts.map(|start| {
        let end = (start + some).min(CASES.len());
        tokio::spawn(in_order(&CASES[start.saturating_sub(1)..end]))
    });
    for part in parts.collect::<Vec<_>>() {
        part.await.expect("each is so");
    }
}
