//! Walks a JSON text along the paths that patterns name, and passes over everything else.
//!
//! Rules: the whole text is read, so that what is not JSON to its end is found out; arrays are no
//! step of a path; only containers know which element of an array they are, scalars do not.

use super::json::{Kind, Reader, Syntax};
use super::program::{NodeId, Program};
use super::test::Scalar;

/// Learns what stands at the paths that patterns name.
pub(super) trait Sink {
    /// A scalar stands at a field's path.
    fn field(&mut self, field: usize, value: Scalar<'_>);
    /// An array begins.
    fn open(&mut self);
    /// A container begins as an element of the array.
    fn enter(&mut self);
    /// It ends; whether there was anything of interest in it.
    fn leave(&mut self) -> bool;
    /// The array ends; `filled` of its elements had something of interest.
    fn close(&mut self, filled: usize);
}

/// Walks a text that is an object or an array; the root of it is `node`.
pub(super) fn walk<S: Sink>(
    program: &Program,
    node: NodeId,
    text: &str,
    unescaped: &mut String,
    sink: &mut S,
) -> Result<(), Syntax> {
    let mut walk = Walk {
        program,
        reader: Reader::new(text),
        unescaped,
        sink,
    };
    match walk.reader.kind()? {
        Kind::Object | Kind::Array => walk.value(node)?,
        _ => return Err(Syntax(&"it is neither an object nor an array")),
    }
    walk.reader.end()
}

/// Whether a text is an object or an array to its end.
pub(super) fn is_container(text: &str) -> bool {
    let mut reader = Reader::new(text);
    matches!(reader.kind(), Ok(Kind::Object | Kind::Array))
        && reader.skip().is_ok()
        && reader.end().is_ok()
}

struct Walk<'a, 't, S> {
    program: &'a Program,
    reader: Reader<'t>,
    unescaped: &'a mut String,
    sink: &'a mut S,
}

impl<S: Sink> Walk<'_, '_, S> {
    fn value(&mut self, node: NodeId) -> Result<(), Syntax> {
        match self.reader.kind()? {
            Kind::Object if self.program.is_leaf(node) => self.reader.skip(),
            Kind::Object => self.object(node),
            Kind::Array => self.array(node),
            scalar => self.scalar(node, scalar),
        }
    }

    fn object(&mut self, node: NodeId) -> Result<(), Syntax> {
        self.reader.open()?;
        let mut first = true;
        while let Some(key) = self.reader.key(first)? {
            first = false;
            match self.program.child(node, key.plain(self.unescaped)) {
                Some(child) => self.value(child)?,
                None => self.reader.skip()?,
            }
        }
        Ok(())
    }

    fn array(&mut self, node: NodeId) -> Result<(), Syntax> {
        self.reader.open()?;
        self.sink.open();
        let (mut first, mut filled) = (true, 0);
        while self.reader.element(first)? {
            first = false;
            match self.reader.kind()? {
                Kind::Object | Kind::Array => {
                    self.sink.enter();
                    self.value(node)?;
                    filled += usize::from(self.sink.leave());
                }
                scalar => self.scalar(node, scalar)?,
            }
        }
        self.sink.close(filled);
        Ok(())
    }

    fn scalar(&mut self, node: NodeId, kind: Kind) -> Result<(), Syntax> {
        let value = match kind {
            Kind::Number => Scalar::Number(self.reader.number()?),
            Kind::Word => Scalar::Word(self.reader.word()?),
            _ => {
                let text = self.reader.text()?;
                match self.program.fields_at(node) {
                    [] => return Ok(()),
                    _ => Scalar::Text(text.plain(self.unescaped)),
                }
            }
        };
        for &field in self.program.fields_at(node) {
            self.sink.field(field, value);
        }
        Ok(())
    }
}
