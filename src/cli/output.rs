//! Output: results on standard output, remarks on standard error; tables for people, JSON for programs.
//!
//! On a terminal tables fit its width and carry colour; piped they are plain and nothing is cut. Colour
//! follows `--color`, `NO_COLOR` and the kind of the stream. What is printed is made by pure functions.

use std::io::{self, IsTerminal as _, Write as _};

use anstyle::{AnsiColor, Style};
use comfy_table::{Attribute, CellAlignment, Color, ColumnConstraint, ContentArrangement, presets};
use serde::Serialize;

use super::error::CliError;
use super::text::clean;

/// For what failed.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// For what went well, and for advice.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// For what needs somebody's eyes.
pub const ATTENTION: Style = AnsiColor::Yellow.on_default().bold();
/// For what is beside the point.
pub const FAINT: Style = Style::new().dimmed();
/// For headings.
pub const STRONG: Style = Style::new().bold();

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ColorWhen {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Even when piped.
    Always,
    /// Not at all.
    Never,
}

impl From<ColorWhen> for anstream::ColorChoice {
    fn from(when: ColorWhen) -> Self {
        match when {
            ColorWhen::Auto => Self::Auto,
            ColorWhen::Always => Self::Always,
            ColorWhen::Never => Self::Never,
        }
    }
}

/// Where the output goes, as far as that changes how it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Whether a person reads along.
    pub terminal: bool,
    /// How wide the terminal is, if there is one.
    pub width: Option<u16>,
}

impl Look {
    /// A pipe or a file.
    pub const PIPED: Self = Self {
        terminal: false,
        width: None,
    };

    fn of_stdout() -> Self {
        if !io::stdout().is_terminal() {
            return Self::PIPED;
        }
        Self {
            terminal: true,
            width: comfy_table::Table::new().width(),
        }
    }
}

/// The two streams, and how much to say.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// How results look.
    pub look: Look,
    /// Whether results are for programs.
    pub json: bool,
    quiet: bool,
}

impl Output {
    /// The streams of the process.
    pub fn new(color: ColorWhen, json: bool, quiet: bool) -> Self {
        anstream::ColorChoice::from(color).write_global();
        Self {
            look: Look::of_stdout(),
            json,
            quiet,
        }
    }

    /// A piece of the result.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn print(&self, text: &str) -> Result<(), CliError> {
        let mut out = anstream::stdout().lock();
        out.write_all(text.as_bytes())?;
        if !text.ends_with('\n') {
            out.write_all(b"\n")?;
        }
        Ok(out.flush()?)
    }

    /// A result for programs: one line, one object, which names its schema.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn object(&self, schema: &'static str, body: &impl Serialize) -> Result<(), CliError> {
        let line = serde_json::to_string(&Tagged { schema, body }).map_err(io::Error::from)?;
        self.print(&line)
    }

    /// A table.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn table(&self, table: &Table) -> Result<(), CliError> {
        self.print(&table.render(self.look))
    }

    /// A remark beside the result, unless nobody wants any.
    pub fn note(&self, text: &str) {
        if !self.quiet && !self.json {
            self.complain(text);
        }
    }

    /// Something that has to be said.
    pub fn complain(&self, text: &str) {
        // Nobody can be told that standard error is gone.
        drop(writeln!(anstream::stderr(), "{}", text.trim_end()));
    }
}

#[derive(Serialize)]
struct Tagged<'a, T> {
    schema: &'static str,
    #[serde(flatten)]
    body: &'a T,
}

/// What a piece of text says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tone {
    /// Nothing.
    #[default]
    Plain,
    /// It went well.
    Good,
    /// It failed.
    Bad,
    /// Somebody has to look at it.
    Attention,
    /// It is beside the point.
    Faint,
}

impl Tone {
    /// The style of it.
    pub fn style(self) -> Style {
        match self {
            Self::Plain => Style::new(),
            Self::Good => GOOD,
            Self::Bad => BAD,
            Self::Attention => ATTENTION,
            Self::Faint => FAINT,
        }
    }
}

/// A place in a table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// Text in a tone.
    pub fn toned(text: impl AsRef<str>, tone: Tone) -> Self {
        Self {
            text: clean(text.as_ref()),
            tone,
        }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::toned(text, Tone::Plain)
    }
}

/// Rows under headings.
#[derive(Debug, Clone, Default)]
pub struct Table {
    headings: Vec<&'static str>,
    right: Vec<usize>,
    whole: Vec<usize>,
    one_line: bool,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table without rows. Headings are lower case.
    pub fn new(headings: &[&'static str]) -> Self {
        Self {
            headings: headings.to_vec(),
            ..Self::default()
        }
    }

    /// Sets these columns flush right: amounts, durations, counts.
    #[must_use]
    pub fn right(mut self, columns: &[usize]) -> Self {
        self.right = columns.to_vec();
        self
    }

    /// Never breaks the text of these columns: ids, times.
    #[must_use]
    pub fn whole(mut self, columns: &[usize]) -> Self {
        self.whole = columns.to_vec();
        self
    }

    /// Gives every row one line of a terminal: what does not fit ends with an ellipsis. A pipe gets it whole.
    #[must_use]
    pub fn one_line(mut self) -> Self {
        self.one_line = true;
        self
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as text, with styles that the stream takes out where they are not wanted.
    pub fn render(&self, look: Look) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING);
        match look.width {
            Some(width) if look.terminal => {
                table
                    .set_content_arrangement(ContentArrangement::Dynamic)
                    .set_width(width);
            }
            _ => {
                table
                    .set_content_arrangement(ContentArrangement::Disabled)
                    .force_no_tty();
            }
        }
        if look.terminal {
            table.enforce_styling();
        }
        if !self.headings.iter().all(|heading| heading.is_empty()) {
            let heading = |text: &&str| comfy_table::Cell::new(text).add_attribute(Attribute::Dim);
            table.set_header(self.headings.iter().map(heading).collect::<Vec<_>>());
        }
        for row in &self.rows {
            let mut cells: Vec<comfy_table::Cell> = row.iter().map(drawn).collect();
            cells.resize_with(self.headings.len(), || comfy_table::Cell::new(""));
            let mut row = comfy_table::Row::from(cells);
            if self.one_line && look.terminal {
                row.max_height(1);
            }
            table.add_row(row);
        }
        for (index, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, 2));
            if self.right.contains(&index) {
                column.set_cell_alignment(CellAlignment::Right);
            }
            if look.terminal
                && self
                    .rows
                    .iter()
                    .all(|row| row.get(index).is_none_or(|cell| cell.text.is_empty()))
            {
                column.set_constraint(ColumnConstraint::Hidden);
            } else if self.whole.contains(&index) {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        table.trim_fmt()
    }
}

fn drawn(cell: &Cell) -> comfy_table::Cell {
    let drawn = comfy_table::Cell::new(&cell.text);
    match cell.tone {
        Tone::Plain => drawn,
        Tone::Good => drawn.fg(Color::DarkGreen),
        Tone::Bad => drawn.fg(Color::DarkRed).add_attribute(Attribute::Bold),
        Tone::Attention => drawn.fg(Color::DarkYellow).add_attribute(Attribute::Bold),
        Tone::Faint => drawn.add_attribute(Attribute::Dim),
    }
}
