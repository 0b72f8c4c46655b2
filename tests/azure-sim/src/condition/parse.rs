//! Reads the text of a condition.

use super::{Condition, Quantifier, Source, Test, TestKind};

/// The text is no condition that this simulator understands.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("cannot read the condition at character {at}: expected {expected}")]
pub(crate) struct InvalidCondition {
    at: usize,
    expected: &'static str,
}

type Parsed<T> = Result<T, InvalidCondition>;

/// Deepest nesting: texts come from requests, the stack is finite.
const DEPTH_LIMIT: usize = 64;

/// Parses a condition.
///
/// # Errors
/// [`InvalidCondition`] says where reading stopped.
pub(crate) fn parse(text: &str) -> Parsed<Condition> {
    let mut reader = Reader { text, at: 0, depth: 0 };
    let condition = reader.any_of()?;
    if reader.rest().is_empty() { Ok(condition) } else { reader.expected("the end") }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn any_of(&mut self) -> Parsed<Condition> {
        let mut left = self.all_of()?;
        while self.take("||") || self.take_word("OR") {
            left = Condition::Or(Box::new(left), Box::new(self.all_of()?));
        }
        Ok(left)
    }

    fn all_of(&mut self) -> Parsed<Condition> {
        let mut left = self.one()?;
        while self.take("&&") || self.take_word("AND") {
            left = Condition::And(Box::new(left), Box::new(self.one()?));
        }
        Ok(left)
    }

    fn one(&mut self) -> Parsed<Condition> {
        if self.depth == DEPTH_LIMIT {
            return self.expected("less nesting");
        }
        self.depth += 1;
        let condition = self.simple();
        self.depth -= 1;
        condition
    }

    fn simple(&mut self) -> Parsed<Condition> {
        if self.take("!") || self.take_word("NOT") {
            return Ok(Condition::Not(Box::new(self.one()?)));
        }
        if self.take("(") {
            let inner = self.any_of()?;
            self.require(")", "`)`")?;
            return Ok(inner);
        }
        if self.take_word("ActionMatches") {
            self.require("{", "`{`")?;
            let pattern = self.value()?;
            self.require("}", "`}`")?;
            return Ok(Condition::ActionMatches(pattern));
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Parsed<Condition> {
        let source = if self.take("@Request[") {
            Source::Request
        } else if self.take("@Resource[") {
            Source::Resource
        } else {
            return self.expected("`(`, `!`, `ActionMatches`, `@Request[` or `@Resource[`");
        };
        let attribute = self.until(']')?.trim().to_owned();
        self.require("]", "`]`")?;
        let (quantifier, test) = self.operator()?;
        Ok(Condition::Compare { source, attribute, quantifier, test, values: self.values()? })
    }

    fn operator(&mut self) -> Parsed<(Quantifier, Test)> {
        let word = self.word(|it| it.is_ascii_alphabetic() || it == ':').to_ascii_lowercase();
        let (quantifier, name) = match word.split_once(':') {
            Some((words, name)) if words.ends_with("ofallvalues") => (Quantifier::All, name),
            Some((words, name)) if words.ends_with("ofanyvalues") => (Quantifier::Any, name),
            Some(_) => return self.expected("a quantifier such as `ForAnyOfAnyValues`"),
            None => (Quantifier::Any, word.as_str()),
        };
        let (name, ignore_case) =
            name.strip_suffix("ignorecase").map_or((name, false), |it| (it, true));
        let (kind, negated) = match name {
            "stringequals" => (TestKind::Equals, false),
            "stringnotequals" => (TestKind::Equals, true),
            "stringstartswith" => (TestKind::StartsWith, false),
            "stringnotstartswith" => (TestKind::StartsWith, true),
            "stringlike" => (TestKind::Like, false),
            "stringnotlike" => (TestKind::Like, true),
            "guidequals" => (TestKind::Guid, false),
            "guidnotequals" => (TestKind::Guid, true),
            _ => return self.expected("an operator such as `StringEquals` or `GuidEquals`"),
        };
        Ok((quantifier, Test { kind, ignore_case, negated }))
    }

    fn values(&mut self) -> Parsed<Vec<String>> {
        if !self.take("{") {
            return Ok(vec![self.value()?]);
        }
        let mut values = vec![self.value()?];
        while self.take(",") {
            values.push(self.value()?);
        }
        self.require("}", "`,` or `}`")?;
        Ok(values)
    }

    /// A text in quotes, or a bare GUID.
    fn value(&mut self) -> Parsed<String> {
        if self.take("'") {
            let text = self.until('\'')?.to_owned();
            self.at += 1;
            return Ok(text);
        }
        match self.word(|it| it.is_ascii_hexdigit() || it == '-') {
            "" => self.expected("a value"),
            word => Ok(word.to_owned()),
        }
    }

    fn rest(&mut self) -> &'a str {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
        &self.text[self.at..]
    }

    fn take(&mut self, token: &str) -> bool {
        let matches =
            self.rest().get(..token.len()).is_some_and(|it| it.eq_ignore_ascii_case(token));
        if matches {
            self.at += token.len();
        }
        matches
    }

    fn take_word(&mut self, word: &str) -> bool {
        let next = self.rest().as_bytes().get(word.len()).copied().unwrap_or(b' ');
        !next.is_ascii_alphanumeric() && self.take(word)
    }

    fn word(&mut self, part: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let word = &rest[..rest.find(|it| !part(it)).unwrap_or(rest.len())];
        self.at += word.len();
        word
    }

    fn until(&mut self, end: char) -> Parsed<&'a str> {
        let rest = &self.text[self.at..];
        let Some(length) = rest.find(end) else { return self.expected("a closing mark") };
        self.at += length;
        Ok(&rest[..length])
    }

    fn require(&mut self, token: &str, expected: &'static str) -> Parsed<()> {
        if self.take(token) { Ok(()) } else { self.expected(expected) }
    }

    fn expected<T>(&self, expected: &'static str) -> Parsed<T> {
        Err(InvalidCondition { at: self.at, expected })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_conditions_are_refused_where_they_break() {
        for (text, at) in [
            ("", 0),
            ("(ActionMatches{'a'}", 19),
            ("ActionMatches{'a'} AND", 22),
            ("@Request[a] StringMaybe 'x'", 23),
            ("@Request[a] StringEquals", 24),
            ("@Request[a StringEquals 'x'", 9),
            ("@Request[a] ForSome:StringEquals 'x'", 32),
            ("ActionMatches{'a'} x", 19),
        ] {
            assert_eq!(parse(text).unwrap_err().at, at, "{text}");
        }
    }

    #[test]
    fn deep_nesting_is_refused() {
        let nested = |depth: usize| {
            format!("{}ActionMatches{{'a'}}{}", "(".repeat(depth), ")".repeat(depth))
        };
        assert!(parse(&nested(60)).is_ok());
        assert!(parse(&nested(4_000)).is_err());
        assert!(parse(&"!".repeat(8_000)).is_err());
    }

    #[test]
    fn and_binds_more_tightly_than_or() {
        let parsed =
            parse("ActionMatches{'a'} OR ActionMatches{'b'} AND ActionMatches{'c'}").unwrap();
        assert!(matches!(parsed, Condition::Or(_, right) if matches!(*right, Condition::And(..))));
    }
}
