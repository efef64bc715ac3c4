//! Documents as they are sent: our encoder writes the JSON that `serde_json` writes, byte for byte.

use serde::Serialize;
use sheaf::document::{
    Access, Body, Comment, Container, Content, Document, Interactions, PropertyValue, Restricted,
    UserRef,
};
use sheaf::wire::batch::{Batcher, Most};
use sheaf::wire::document::DocumentDefinition;
use sheaf::wire::size;

/// A document whose texts and numbers are pieces of the bytes.
pub fn document(bytes: &[u8]) -> bool {
    let mut rest = Pieces(bytes);
    let document = rest.document();
    let most = Most { bytes: usize::MAX, documents: 2, document_bytes: usize::MAX };
    let datasource = rest.text();
    let mut batcher = Batcher::new(&datasource, most);
    batcher.push(&document).expect("any document can be written");
    let wire = DocumentDefinition::new(&datasource, &document);
    let expected = json(&wire);
    assert_eq!(size::encoded(&wire), expected.len());
    let written = batcher.last();
    assert_eq!(written, expected, "{}", written.escape_ascii());
    bytes.len() > 8
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("it is JSON")
}

/// Takes bytes from the front: a number says how long the text after it is.
struct Pieces<'a>(&'a [u8]);

impl Pieces<'_> {
    fn take(&mut self, count: usize) -> &[u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or_default()
    }

    fn number(&mut self) -> i64 {
        let mut number = [0; 8];
        let bytes = self.take(8);
        number[..bytes.len()].copy_from_slice(bytes);
        i64::from_le_bytes(number)
    }

    /// Short and long ones: an encoder looks at many bytes at once, and at those that are left over.
    fn text(&mut self) -> String {
        let count = usize::from(self.byte());
        let bytes = self.take(count % 128);
        String::from_utf8_lossy(bytes).repeat(1 + count / 64)
    }

    fn texts(&mut self) -> Vec<String> {
        (0..self.byte() % 4).map(|_| self.text()).collect()
    }

    fn maybe<T>(&mut self, piece: fn(&mut Self) -> T) -> Option<T> {
        (self.byte() % 2 == 1).then(|| piece(self))
    }

    fn user(&mut self) -> UserRef {
        let [email, id, name] = [(); 3].map(|()| self.maybe(Self::text));
        UserRef { email, id, name }
    }

    fn content(&mut self) -> Content {
        let mime_type = self.text();
        let body = match self.byte() % 2 {
            0 => Body::Text(self.text()),
            _ => Body::Binary(self.text().into_bytes()),
        };
        Content { mime_type, body }
    }

    fn access(&mut self) -> Access {
        match self.byte() % 4 {
            0 => Access::Everyone,
            1 => Access::SourceUsers,
            2 => Access::Unknown,
            _ => Access::Restricted(Restricted {
                users: (0..self.byte() % 3).map(|_| self.user()).collect(),
                groups: self.texts(),
                group_intersections: (0..self.byte() % 3).map(|_| self.texts()).collect(),
            }),
        }
    }

    fn comment(&mut self) -> Comment {
        Comment {
            id: self.text(),
            author: self.maybe(Self::user),
            content: self.content(),
            created_at: self.maybe(Self::number),
            updated_at: self.maybe(Self::number),
        }
    }

    fn property(&mut self) -> (String, PropertyValue) {
        let value = match self.byte() % 3 {
            0 => PropertyValue::Text(self.text()),
            1 => PropertyValue::Integer(self.number()),
            _ => PropertyValue::Texts(self.texts()),
        };
        (self.text(), value)
    }

    fn document(&mut self) -> Document {
        let [id, object_type, view_url] = [(); 3].map(|()| self.text());
        let mut document = Document::new(&id, &object_type, &view_url, self.access());
        document.title = self.maybe(Self::text);
        document.body = self.maybe(Self::content);
        document.summary = self.maybe(Self::content);
        document.container = self.maybe(|rest| Container {
            name: rest.text(),
            id: rest.maybe(Self::text),
            object_type: rest.maybe(Self::text),
        });
        document.author = self.maybe(Self::user);
        document.created_at = self.maybe(Self::number);
        document.tags = self.texts();
        document.comments = (0..self.byte() % 3).map(|_| self.comment()).collect();
        document.interactions = self.maybe(|rest| Interactions {
            views: rest.maybe(Self::number).map(i64::cast_unsigned),
            likes: None,
            comments: rest.maybe(Self::number).map(i64::cast_unsigned),
        });
        document.properties = (0..self.byte() % 3).map(|_| self.property()).collect();
        document
    }
}
