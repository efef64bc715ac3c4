//! How large a document is as JSON, found out without writing it down: its source chooses the letters, and one of
//! them may take six bytes.

use std::io::{self, Write};

use super::document::DocumentDefinition;
use crate::document::{
    Access, Body, Comment, Container, Content, Document, PropertyValue, Restricted, UserRef,
};

/// What one letter takes at most: `\u0001`.
const LETTER: usize = 6;
/// What stands around one text at most: its key, the braces of what it is in, and numbers beside it.
const AROUND: usize = 300;

/// The size of a document as it is sent.
pub fn encoded(document: &DocumentDefinition<'_>) -> usize {
    let mut counter = Counter(0);
    // Nothing of it can fail: it is only counted.
    match serde_json::to_writer(&mut counter, document) {
        Ok(()) => counter.0,
        Err(_) => usize::MAX,
    }
}

/// Counts what is written, and keeps nothing of it.
struct Counter(usize);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// More than a document can take as JSON. It is far from exact, and costs nothing: the texts' letters are not
/// looked at.
pub(super) fn at_most(datasource: &str, document: &Document) -> usize {
    let mut texts = Texts { count: 1, bytes: datasource.len() };
    texts.document(document);
    let Texts { count, bytes } = texts;
    count.saturating_mul(AROUND).saturating_add(bytes.saturating_mul(LETTER))
}

#[derive(Default)]
struct Texts {
    count: usize,
    bytes: usize,
}

impl Texts {
    fn add(&mut self, text: &str) {
        self.count += 1;
        self.bytes += text.len();
    }

    fn all<'a>(&mut self, texts: impl IntoIterator<Item = &'a String>) {
        texts.into_iter().for_each(|text| self.add(text));
    }

    fn document(&mut self, document: &Document) {
        // All by their names: one that is new is not forgotten here.
        let Document {
            id,
            object_type,
            view_url,
            access,
            title,
            filename,
            body,
            summary,
            container,
            author,
            owner,
            created_at: _,
            updated_at: _,
            updated_by,
            tags,
            status,
            comments,
            interactions: _,
            additional_urls,
            native_app_url,
            properties,
        } = document;
        self.all([id, object_type, view_url]);
        self.all(title.iter().chain(filename).chain(status).chain(native_app_url));
        self.all(tags.iter().chain(additional_urls));
        self.access(access);
        body.iter().chain(summary).for_each(|content| self.content(content));
        if let Some(Container { name, id, object_type }) = container {
            self.all([name].into_iter().chain(id).chain(object_type));
        }
        self.users(author.iter().chain(owner).chain(updated_by));
        for comment in comments {
            let Comment { id, author, content, created_at: _, updated_at: _ } = comment;
            self.add(id);
            self.users(author);
            self.content(content);
        }
        for (name, value) in properties {
            self.add(name);
            match value {
                PropertyValue::Text(text) => self.add(text),
                PropertyValue::Texts(texts) => self.all(texts),
                PropertyValue::Integer(_) => {}
            }
        }
    }

    fn content(&mut self, Content { mime_type, body }: &Content) {
        self.add(mime_type);
        self.count += 1;
        match body {
            Body::Text(text) => self.add(text),
            // Base64 takes four bytes for three, which is less than what a letter may take.
            Body::Binary(bytes) => self.bytes += bytes.len(),
        }
    }

    fn users<'a>(&mut self, users: impl IntoIterator<Item = &'a UserRef>) {
        for UserRef { email, id, name } in users {
            self.count += 1;
            self.all(email.iter().chain(id).chain(name));
        }
    }

    fn access(&mut self, access: &Access) {
        let Access::Restricted(Restricted { users, groups, group_intersections }) = access else {
            return;
        };
        self.users(users);
        self.all(groups);
        for groups in group_intersections {
            self.count += 1;
            self.all(groups);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(text: &str, number: i64) -> Document {
        let text = || text.to_owned();
        let user = || UserRef { email: Some(text()), id: Some(text()), name: Some(text()) };
        let content = |body| Content { mime_type: text(), body };
        let access = Access::Restricted(Restricted {
            users: vec![user(), UserRef::default()],
            groups: vec![text(), text()],
            group_intersections: vec![vec![text()], Vec::new()],
        });
        let comment = Comment {
            id: text(),
            author: Some(user()),
            content: content(Body::Text(text())),
            created_at: Some(number),
            updated_at: Some(number),
        };
        Document {
            title: Some(text()),
            filename: Some(text()),
            body: Some(content(Body::Binary(text().into_bytes()))),
            summary: Some(content(Body::Text(text()))),
            container: Some(Container {
                name: text(),
                id: Some(text()),
                object_type: Some(text()),
            }),
            author: Some(user()),
            owner: Some(user()),
            created_at: Some(number),
            updated_at: Some(number),
            updated_by: Some(user()),
            tags: vec![text()],
            status: Some(text()),
            comments: vec![comment],
            interactions: Some(crate::document::Interactions {
                views: Some(u64::MAX),
                likes: Some(u64::MAX),
                comments: Some(u64::MAX),
            }),
            additional_urls: vec![text()],
            native_app_url: Some(text()),
            properties: vec![
                (text(), PropertyValue::Text(text())),
                (text(), PropertyValue::Integer(number)),
                (text(), PropertyValue::Texts(vec![text(), text()])),
            ],
            ..Document::new(&text(), &text(), &text(), access)
        }
    }

    #[test]
    fn the_size_of_a_document_is_known_before_it_is_written() {
        for text in ["", "plain", "\u{1}", "\"\\\n", "ü€𝄞", &"\u{1}".repeat(1000)] {
            let document = full(text, i64::MIN);
            let wire = DocumentDefinition::new(text, &document);
            let written = sonic_rs::to_vec(&wire).expect("JSON").len();
            assert_eq!(encoded(&wire), written);
            assert!(at_most(text, &document) >= written, "{text:.20}");
        }
    }
}
