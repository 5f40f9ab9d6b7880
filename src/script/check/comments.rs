//! Comments that never end: the interpreter takes the rest of the file for a comment and says nothing.
//!
//! A small scanner that knows just enough of the language to tell where texts and comments are.

use rhai::Position;

use super::span;
use crate::model::diagnostic::Diagnostic;
use crate::model::workflow::Source;

/// The finding, if a block comment of this script never ends.
pub(super) fn unterminated(source: &Source) -> Option<Diagnostic> {
    let (line, column) = Scanner::new(&source.text).open_comment()?;
    let short = |number: usize| u16::try_from(number).unwrap_or(u16::MAX);
    Some(
        Diagnostic::error("open-comment", source.path.as_str(), "this comment never ends")
            .at(span(Position::new(short(line), short(column)), 2))
            .help("all that follows is ignored: close it with */"),
    )
}

struct Scanner<'a> {
    letters: std::iter::Peekable<std::str::Chars<'a>>,
    line: usize,
    column: usize,
    /// Open braces in each `${…}` around this place, the innermost last.
    interpolations: Vec<usize>,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            letters: text.chars().peekable(),
            line: 1,
            column: 0,
            interpolations: Vec::new(),
        }
    }

    fn next(&mut self) -> Option<char> {
        let letter = self.letters.next()?;
        if letter == '\n' {
            self.line += 1;
            self.column = 0;
        } else {
            self.column += 1;
        }
        Some(letter)
    }

    fn next_if(&mut self, wanted: char) -> bool {
        let is_next = self.letters.peek() == Some(&wanted);
        if is_next {
            self.next();
        }
        is_next
    }

    /// Line and column of a block comment that is open at the end.
    fn open_comment(mut self) -> Option<(usize, usize)> {
        while let Some(letter) = self.next() {
            match letter {
                '/' if self.next_if('/') => while self.next().is_some_and(|letter| letter != '\n') {},
                '/' if self.letters.peek() == Some(&'*') => {
                    let start = (self.line, self.column);
                    self.next();
                    if !self.skip_comment() {
                        return Some(start);
                    }
                }
                '"' | '\'' => self.skip_quoted(letter),
                '#' => self.skip_raw(),
                '`' => self.skip_text(),
                '{' => {
                    if let Some(depth) = self.interpolations.last_mut() {
                        *depth += 1;
                    }
                }
                '}' => self.close_brace(),
                _ => {}
            }
        }
        None
    }

    /// Whether the comment ended; comments nest.
    fn skip_comment(&mut self) -> bool {
        let mut depth = 1;
        while let Some(letter) = self.next() {
            if letter == '*' && self.next_if('/') {
                depth -= 1;
                if depth == 0 {
                    return true;
                }
            } else if letter == '/' && self.next_if('*') {
                depth += 1;
            }
        }
        false
    }

    fn skip_quoted(&mut self, quote: char) {
        while let Some(letter) = self.next() {
            match letter {
                '\\' => {
                    self.next();
                }
                letter if letter == quote => return,
                _ => {}
            }
        }
    }

    /// `#"raw"#`, with as many `#` as the writer likes; `#{` is a map.
    fn skip_raw(&mut self) {
        let mut marks = 1;
        while self.next_if('#') {
            marks += 1;
        }
        if !self.next_if('"') {
            return;
        }
        while let Some(letter) = self.next() {
            if letter == '"' {
                let mut closing = 0;
                while closing < marks && self.next_if('#') {
                    closing += 1;
                }
                if closing == marks {
                    return;
                }
            }
        }
    }

    /// Up to the closing backtick, or into the code of a `${`.
    fn skip_text(&mut self) {
        while let Some(letter) = self.next() {
            match letter {
                '`' if !self.next_if('`') => return,
                '$' if self.next_if('{') => {
                    self.interpolations.push(0);
                    return;
                }
                _ => {}
            }
        }
    }

    fn close_brace(&mut self) {
        match self.interpolations.last_mut() {
            Some(0) => {
                self.interpolations.pop();
                self.skip_text();
            }
            Some(depth) => *depth -= 1,
            None => {}
        }
    }
}
