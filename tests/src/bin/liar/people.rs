//! Who is who, by its word: pages of users and groups.

use std::iter::repeat_n;

use sheaf::identities::{Group, Member, Page, Progress, UnreadableGroup, User};

/// A screen that is wiped, and what stands there then.
const ESCAPE: &str = "\u{1b}[2Jsheaf: all is well\r\n\u{7}";

/// The page of this number. An honest cell has two of them.
#[allow(clippy::too_many_lines)] // A line or two for each lie.
pub(crate) fn page(lie: &str, number: usize) -> Page {
    let mut page = honest(number);
    let (long, many) = ("x".repeat(250), 0..8_000);
    let more = |number: usize| Progress::More((number + 1).to_string());
    match lie {
        // Without end.
        "people-users" => {
            let users = many.map(|at| user(&format!("{number}-{at}-{long}@x.com")));
            page = Page { users: users.collect(), groups: vec![], ..page };
            page.progress = more(number);
        }
        "people-groups" => {
            let groups = many.map(|at| group(&format!("{number}-{at}-{long}"), &[]));
            page = Page { users: vec![], groups: groups.collect(), ..page };
            page.progress = more(number);
        }
        "people-members" => {
            let members = many.map(|at| Member::Id(format!("{number}-{at}-{long}")));
            let all = Group { name: "hr".into(), members: members.collect(), continues: true };
            page = Page { users: vec![], groups: vec![all], ..page };
            page.progress = more(number);
        }
        "people-unreadable" => {
            let name = |at| format!("{number}-{at}-{long}");
            let one = |at| UnreadableGroup { name: name(at), reason: long.clone() };
            page.unreadable = many.map(one).collect();
            page.users.clear();
            page.groups.clear();
            page.progress = more(number);
        }
        "people-nothing" => page = nothing(more(number)),
        "people-same" => page = nothing(Progress::More("1".into())),
        // A few bytes of its own, and many here.
        "people-wide-users" => {
            let empty = User { email: String::new(), ..user("") };
            page.users = repeat_n(empty, 2 << 20).collect();
        }
        "people-wide-groups" => page.groups = repeat_n(group("", &[]), 2 << 20).collect(),
        "people-wide-members" => {
            page.groups[0].members = repeat_n(Member::Email(String::new()), 4 << 20).collect();
        }
        "people-large-page" => page.users = vec![user(&"x".repeat(64 << 20))],
        "people-large-checkpoint" => page.progress = Progress::More("x".repeat(1 << 20)),
        "people-large-names" if number == 1 => {
            let large = "x".repeat(1 << 20);
            page.users.push(user(&format!("{large}@x.com")));
            page.users.push(User { id: Some(large.clone()), ..user("eve@x.com") });
            page.users[0].name = Some(large.clone());
            page.groups.push(group(&large, &["ann@x.com"]));
            page.groups[0].members.extend([
                Member::Email(large.clone()),
                Member::Id(large.clone()),
                Member::Group(large.clone()),
            ]);
            let reason = large.clone();
            page.unreadable.push(UnreadableGroup { name: large, reason });
        }
        "people-escapes" if number == 1 => {
            page.users.push(user(&format!("eve{ESCAPE}@x.com")));
            page.users[0].name = Some(ESCAPE.into());
            page.groups[0].members.extend([
                Member::Email(format!("eve{ESCAPE}@x.com")),
                Member::Id(ESCAPE.into()),
                Member::Group(ESCAPE.into()),
            ]);
            page.unreadable.push(UnreadableGroup { name: ESCAPE.into(), reason: ESCAPE.into() });
        }
        // An order that there is not.
        "people-other-midway" if number == 0 => page.groups[0].continues = true,
        "people-ended" if number == 1 => page.groups.push(group("hr", &["eve@x.com"])),
        "people-open" if number == 1 => page.groups[0].continues = true,
        "people-open-and-partial" if number == 1 => {
            page.groups[0].continues = true;
            page.progress = Progress::Partial(ESCAPE.repeat(1 << 16));
        }
        "people-early" if number == 0 => page.progress = Progress::Complete,
        // No lie: users are known by their ids.
        "people-by-id" => {
            let id = |email: &str| email.replace("@x.com", "-7");
            for user in &mut page.users {
                user.id = Some(id(&user.email));
            }
            for member in page.groups.iter_mut().flat_map(|group| &mut group.members) {
                if let Member::Email(email) = member {
                    *member = Member::Id(id(email));
                }
            }
        }
        "people-none" => page = nothing(Progress::Complete),
        _ => {}
    }
    page
}

/// `hr` with two on the first page, `staff` with one on the last.
fn honest(number: usize) -> Page {
    let (names, group, progress): (&[&str], _, _) = match number {
        0 => (
            &["ann@x.com", "bob@x.com"],
            group("hr", &["ann@x.com", "bob@x.com"]),
            Progress::More("1".into()),
        ),
        _ => (&["cid@x.com"], group("staff", &["cid@x.com"]), Progress::Complete),
    };
    let users = names.iter().map(|name| user(name)).collect();
    Page { users, groups: vec![group], unreadable: Vec::new(), progress }
}

fn nothing(progress: Progress) -> Page {
    Page { users: Vec::new(), groups: Vec::new(), unreadable: Vec::new(), progress }
}

fn user(email: &str) -> User {
    User { email: email.into(), id: None, name: None, active: true }
}

fn group(name: &str, members: &[&str]) -> Group {
    let members = members.iter().map(|&email| Member::Email(email.into())).collect();
    Group { name: name.into(), members, continues: false }
}
