//! Which columns of a table are a row's values, and which one holds labels.

use anyhow::{Result, bail, ensure};

use super::FileArgs;
use crate::model::WIDTH_MAX;

/// How much of a text from a file an error shows.
const SHOWN_CHARS: usize = 40;

/// The columns that are read.
#[derive(Debug, PartialEq)]
pub(super) struct Columns {
    /// Columns in the file.
    pub(super) width: usize,
    /// What the first line calls them, where it is a header.
    pub(super) names: Option<Vec<String>>,
    /// Those of a row's values, in the order of the model's inputs.
    pub(super) inputs: Vec<usize>,
    /// That of labels.
    pub(super) label: Option<usize>,
}

impl Columns {
    /// The columns of a file by its first line, which is a header where a column is asked for by
    /// name, or where a value of a row would be text.
    pub(super) fn of(first: &[&str], args: &FileArgs) -> Result<Columns> {
        let by_number = Columns::resolve(first.len(), None, args);
        let is_text = |column: &usize| is_name(first[*column]);
        if let Ok(columns) = by_number
            && !columns.inputs.iter().any(is_text)
        {
            return Ok(columns);
        }
        let names = first.iter().map(|name| (*name).to_owned()).collect();
        Columns::resolve(first.len(), Some(names), args)
    }

    fn resolve(width: usize, names: Option<Vec<String>>, args: &FileArgs) -> Result<Columns> {
        let header = Header { width, names: names.as_deref() };
        let label = match &args.label_column {
            None => None,
            Some(said) => match header.find(said)? {
                (first, last) if first == last => Some(first),
                _ => bail!("--label-column '{said}': expected one column"),
            },
        };
        let mut inputs = Vec::new();
        match &args.columns {
            None => inputs.extend((0..width).filter(|column| Some(*column) != label)),
            Some(said) => {
                for said in said {
                    let (first, last) = header.find(said)?;
                    inputs.extend(first..=last);
                    let count = inputs.len();
                    ensure!(count <= WIDTH_MAX, "--columns: at most {WIDTH_MAX}, got {count}");
                }
            }
        }
        Ok(Columns { width, names, inputs, label })
    }

    /// A column as errors name it.
    pub(super) fn name(&self, column: usize) -> String {
        match self.names.as_ref().and_then(|names| names.get(column)) {
            Some(name) => format!("column {column} ({})", shown(name)),
            None => format!("column {column}"),
        }
    }

    /// Checks that there are as many values as a row has.
    pub(super) fn check(&self, inputs: usize) -> Result<()> {
        let (got, width) = (self.inputs.len(), self.width);
        ensure!(
            got == inputs,
            "expected rows of {inputs} values, got {got} of {width} columns; --columns says which \
             are read, --label-column which one holds labels"
        );
        Ok(())
    }
}

struct Header<'a> {
    width: usize,
    names: Option<&'a [String]>,
}

impl Header<'_> {
    /// The first and the last column that are meant: by name, by number, or from one to another.
    fn find(&self, said: &str) -> Result<(usize, usize)> {
        if let Some(column) = self.one(said)? {
            return Ok((column, column));
        }
        for (at, _) in said.match_indices('-') {
            if let (Some(first), Some(last)) = (self.one(&said[..at])?, self.one(&said[at + 1..])?)
            {
                ensure!(first <= last, "columns '{said}': the first stands behind the last");
                return Ok((first, last));
            }
        }
        let width = self.width;
        let (said, known) =
            (shown(said), if self.names.is_some() { " and their names" } else { "" });
        bail!("no column '{said}'; there are {width}, counted from 0{known}")
    }

    fn one(&self, said: &str) -> Result<Option<usize>> {
        let is_meant = |(_, name): &(usize, &String)| *name == said;
        let mut named = self.names.unwrap_or_default().iter().enumerate().filter(is_meant);
        match (named.next(), named.next()) {
            (Some(_), Some(_)) => bail!("more than one column is called '{}'", shown(said)),
            (Some((column, _)), None) => Ok(Some(column)),
            _ => Ok(said.parse().ok().filter(|column| *column < self.width)),
        }
    }
}

/// Whether a field is text that is neither a number nor one of the usual words for none.
fn is_name(field: &str) -> bool {
    let missing = ["", "na", "n/a", "null", "none", "?", "-"];
    field.parse::<f32>().is_err() && !missing.iter().any(|word| field.eq_ignore_ascii_case(word))
}

/// The beginning of a text from a file.
pub(super) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}..", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(columns: &[&str], label: &str) -> FileArgs {
        let columns: Vec<String> = columns.iter().map(|name| (*name).to_owned()).collect();
        FileArgs {
            raw: false,
            columns: (!columns.is_empty()).then_some(columns),
            label_column: (!label.is_empty()).then(|| label.to_owned()),
        }
    }

    fn of(first: &[&str], columns: &[&str], label: &str) -> (bool, Vec<usize>, Option<usize>) {
        let columns = Columns::of(first, &args(columns, label)).unwrap();
        (columns.names.is_some(), columns.inputs, columns.label)
    }

    #[test]
    fn a_line_of_names_is_a_header() {
        assert_eq!(of(&["1", "-2.5e3"], &[], ""), (false, vec![0, 1], None));
        assert_eq!(of(&["a", "b"], &[], ""), (true, vec![0, 1], None));
        assert_eq!(of(&["label", "0", "1"], &[], ""), (true, vec![0, 1, 2], None));
        // What is missing is no name: an error of its own, not a row less.
        assert_eq!(of(&["1", "", "NA", "nan"], &[], ""), (false, vec![0, 1, 2, 3], None));
        // A label may be text in a row of numbers.
        assert_eq!(of(&["1", "2", "cat"], &[], "2"), (false, vec![0, 1], Some(2)));
        assert_eq!(of(&["cat", "1", "2"], &[], "cat"), (true, vec![1, 2], Some(0)));
    }

    #[test]
    fn columns_by_name_number_and_range() {
        let header = ["id", "a-b", "c", "7", "label"];
        assert_eq!(of(&header, &["c", "a-b"], "label"), (true, vec![2, 1], Some(4)));
        assert_eq!(of(&header, &["1-3"], "4"), (true, vec![1, 2, 3], Some(4)));
        assert_eq!(of(&header, &["a-b-7", "0"], ""), (true, vec![1, 2, 3, 0], None));
        // A name that is a number goes before the number.
        assert_eq!(of(&header, &["7"], "").1, [3]);
        assert_eq!(of(&["1", "2", "3"], &["2", "0-1"], ""), (false, vec![2, 0, 1], None));
        for (columns, part) in [
            ("d", "no column 'd'; there are 5"),
            ("5", "no column '5'"),
            ("c-a-b", "behind the last"),
        ] {
            let error = Columns::of(&header, &args(&[columns], "")).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        let error = Columns::of(&["a", "a"], &args(&["a"], "")).unwrap_err().to_string();
        assert!(error.contains("more than one column"), "{error}");
        assert!(Columns::of(&header, &args(&[], "1-2")).is_err());
    }
}
