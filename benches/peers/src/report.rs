//! What a run leaves behind: a record as fusewire's other experiments leave one, and the same as
//! Markdown and CSV.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use fusewire::bench::images::SEED;
use fusewire::bench::record::{
    Axis, Better, Chart, Column, Curve, Drawing, Environment, FORMAT, Fact, Figure, Point, Record,
    Section, Stroke, Table,
};
use fusewire::bench::report::ModelFacts;

use crate::files::{Files, ROWS};
use crate::rounds::{BATCHES, Budget, Runner, State};
use crate::times::{Figures, Slower};

/// More processors than this kept busy are more than one thread.
const ONE_THREAD_MOST: f64 = 1.1;

/// A report, ready to be written.
pub struct Report {
    record: Record,
    cells: Vec<Cell>,
}

/// A peer at a batch size.
struct Cell {
    name: &'static str,
    version: String,
    batch: usize,
    figures: Figures,
    slower: Option<Slower>,
}

/// A figure as a table shows it.
type Shown = fn(&Cell) -> (f64, Option<f64>);

impl Report {
    pub fn new(
        files: &Files,
        budget: &Budget,
        environment: Environment,
        command: String,
        runners: &[Runner],
    ) -> Result<Report> {
        let reference = runners.first().context("no peer to compare with")?;
        let cells = cells(reference, runners);
        let names: Vec<&'static str> = runners.iter().map(|runner| runner.entry.name).collect();
        let record = Record {
            format: FORMAT,
            experiment: String::from("peers"),
            title: format!("Peers on a processor: {}", files.model.architecture()),
            environment,
            model: ModelFacts::of(&files.model),
            method: method(files, budget, command, reference.entry.name),
            sections: vec![times_section(&names, &cells), peers_section(runners)],
            figures: runners.iter().flat_map(figures_of).collect(),
            histograms: Vec::new(),
        };
        Ok(Report { record, cells })
    }

    /// The page as a reader gets it.
    pub fn markdown(&self) -> String {
        let record = &self.record;
        let mut page = format!("# {}\n\n", record.title);
        let facts = record.method.iter().map(|fact| (fact.name.as_str(), fact.value.clone()));
        for (name, value) in environment_facts(&record.environment).into_iter().chain(facts) {
            // Writing to a string cannot fail.
            let _ = writeln!(page, "* {name}: {value}");
        }
        for section in &record.sections {
            let _ = write!(page, "\n## {}\n", section.title);
            for text in &section.text {
                let _ = write!(page, "\n{text}\n");
            }
            for table in &section.tables {
                page.push('\n');
                page.push_str(&markdown_table(table));
            }
        }
        page
    }

    /// What was found, as fusewire's other experiments leave it.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// A line for each peer and batch size.
    pub fn csv(&self) -> String {
        let mut lines = String::from(
            "peer,version,batch,calls,best_us,p50_us,p99_us,p50_times_slower,best_times_slower\n",
        );
        for cell in &self.cells {
            let Figures { calls, best_us, p50_us, p99_us } = cell.figures;
            let ratio = |of: fn(&Slower) -> f64| {
                cell.slower.as_ref().map(|slower| format!("{:.4}", of(slower))).unwrap_or_default()
            };
            let (p50, best) = (ratio(|slower| slower.p50), ratio(|slower| slower.best));
            let (name, batch, version) = (cell.name, cell.batch, cell.version.replace('"', "'"));
            // Writing to a string cannot fail.
            let _ = writeln!(
                lines,
                "{name},\"{version}\",{batch},{calls},{best_us},{p50_us},{p99_us},{p50},{best}"
            );
        }
        lines
    }
}

fn cells(reference: &Runner, runners: &[Runner]) -> Vec<Cell> {
    let mut cells = Vec::new();
    for runner in runners {
        for batch in BATCHES {
            let Some(figures) = runner.figures(batch) else { continue };
            let slower = reference.figures(batch).map(|ours| figures.slower_than(&ours));
            let (name, version) = (runner.entry.name, runner.version.clone());
            cells.push(Cell { name, version, batch, figures, slower });
        }
    }
    cells
}

fn environment_facts(environment: &Environment) -> Vec<(&'static str, String)> {
    let Environment { cpu, simd, cores, os, arch, .. } = environment;
    let mut facts = vec![("machine", format!("{cpu} ({simd}), {cores} cores, {os}, {arch}"))];
    if !environment.clock_mhz.is_empty() {
        let clock: Vec<_> = environment.clock_mhz.iter().map(|mhz| format!("{mhz:.0}")).collect();
        facts.push(("clock at the start and at the end, MHz", clock.join(", ")));
    }
    let load = environment.load_average.map_or(String::from("not told"), |load| load.to_string());
    facts.push(("threads that wanted to run, over the minute before", load));
    let stolen =
        environment.stolen_share.map(|share| format!("{:.2} % of the time", share * 100.0));
    facts.push(("stolen by the host", stolen.unwrap_or_else(|| String::from("not told"))));
    facts.push(("took", format!("{:.0} s", environment.took_s)));
    facts
}

fn method(files: &Files, budget: &Budget, command: String, reference: &str) -> Vec<Fact> {
    let slices = format!(
        "{} of {} ms for each peer and batch size, after one that is thrown away",
        budget.rounds,
        budget.slice.as_millis()
    );
    let load = "closed: one caller a peer, one batch after the other; a process for each peer, \
                asked in turn";
    let clock = "a call with rows and scores in host memory, whatever copies the runtime makes";
    let rows = format!("{ROWS} generated images (seed {SEED:#x}), walked through batch by batch");
    let checked = "every score of every batch size, against the double-precision oracle, before \
                   any clock started";
    vec![
        Fact::new("command", format!("`{command}`")),
        Fact::new("model", format!("content hash {}", files.model.content_hash())),
        Fact::new("ONNX file", files.onnx_from.as_str()),
        Fact::new("load", load),
        Fact::new("clock", clock),
        Fact::new("rows", rows),
        Fact::new("checked", checked),
        Fact::new("slices", slices),
        Fact::new("ratios", format!("times slower than {reference}")),
    ]
}

fn times_section(names: &[&'static str], cells: &[Cell]) -> Section {
    let p50: Shown = |cell| (cell.figures.p50_us, cell.slower.map(|slower| slower.p50));
    let best: Shown = |cell| (cell.figures.best_us, cell.slower.map(|slower| slower.best));
    let p99: Shown = |cell| (cell.figures.p99_us, None);
    let mut tables = vec![
        table("p50, us", names, cells, p50),
        table("best, us", names, cells, best),
        table("p99, us", names, cells, p99),
    ];
    add_rates(&mut tables[0], names, cells);
    let text = "Microseconds a call, all slices together; in brackets, how many times slower than \
                the reference. Absolute times hold for one machine at one moment: quote ratios of \
                one run.";
    Section {
        title: String::from("Times"),
        text: vec![text.to_owned()],
        charts: vec![chart(names, cells)],
        tables,
    }
}

fn cell_of<'a>(cells: &'a [Cell], name: &str, batch: usize) -> Option<&'a Cell> {
    cells.iter().find(|cell| cell.name == name && cell.batch == batch)
}

/// A row for each peer, a column for each batch size.
fn table(title: &str, names: &[&'static str], cells: &[Cell], shown: Shown) -> Table {
    let batches = BATCHES.map(|batch| Column::numbers(batch.to_string()));
    let columns = [Column::words(title)].into_iter().chain(batches).collect();
    let text = |name: &str, batch| match cell_of(cells, name, batch).map(shown) {
        Some((us, Some(ratio))) => format!("{} ({ratio:.2}x)", digits(us)),
        Some((us, None)) => digits(us),
        None => String::from("-"),
    };
    let row = |name: &&'static str| {
        let cells = BATCHES.iter().map(|batch| text(name, *batch));
        [(*name).to_owned()].into_iter().chain(cells).collect()
    };
    Table { columns, rows: names.iter().map(row).collect() }
}

/// A last column: what the median at a thousand rows makes of rows a second.
fn add_rates(table: &mut Table, names: &[&'static str], cells: &[Cell]) {
    table.columns.push(Column::numbers("M rows/s at 1000"));
    for (row, name) in table.rows.iter_mut().zip(names) {
        let cell = cell_of(cells, name, 1000);
        let rate = cell.map(|cell| format!("{:.2}", 1000.0 / cell.figures.p50_us));
        row.push(rate.unwrap_or_else(|| String::from("-")));
    }
}

/// Three digits that count, or more before the point.
fn digits(us: f64) -> String {
    match us {
        us if us < 10.0 => format!("{us:.2}"),
        us if us < 100.0 => format!("{us:.1}"),
        us => format!("{us:.0}"),
    }
}

fn chart(names: &[&'static str], cells: &[Cell]) -> Chart {
    let curve = |name: &&'static str| Curve {
        name: (*name).to_owned(),
        stroke: Stroke::Marked,
        points: cells
            .iter()
            .filter(|cell| cell.name == *name)
            .map(|cell| Point { x: cell.batch as f64, y: cell.figures.p50_us, range: None })
            .collect(),
    };
    let drawing = Drawing::Curves {
        x: Axis::log("rows a call"),
        y: Axis::log("p50, us a call"),
        curves: names.iter().map(curve).filter(|curve| !curve.points.is_empty()).collect(),
    };
    Chart { title: String::from("A call's median time against its rows"), drawing }
}

fn peers_section(runners: &[Runner]) -> Section {
    let columns = vec![
        Column::words("peer"),
        Column::words("state"),
        Column::words("version"),
        Column::numbers("largest error, share of the row's largest score"),
        Column::numbers("processors kept busy"),
    ];
    let row = |runner: &Runner| {
        let error = runner.agreement.map(|agreement| format!("{:.1e}", agreement.max_error_share));
        let busy = runner.threads_busy().map(|busy| match busy {
            busy if busy > ONE_THREAD_MOST => format!("{busy:.2} MORE THAN ONE"),
            busy => format!("{busy:.2}"),
        });
        let none = || String::from("-");
        vec![
            runner.entry.name.to_owned(),
            state(&runner.state),
            if runner.version.is_empty() { none() } else { runner.version.clone() },
            error.unwrap_or_else(none),
            busy.unwrap_or_else(none),
        ]
    };
    let table = Table { columns, rows: runners.iter().map(row).collect() };
    let text = "Peers that read ONNX are given the file named above, the others its weights. numpy \
                stands in for ND4J, which a JVM would need; it says nothing about a JVM.";
    Section {
        title: String::from("Peers"),
        text: vec![text.to_owned()],
        charts: Vec::new(),
        tables: vec![table],
    }
}

fn state(state: &State) -> String {
    let one_line = |why: &str| why.replace(['\n', '|'], " ");
    match state {
        State::Running(_) => String::from("ok"),
        State::Missing(why) => format!("missing: {}", one_line(why)),
        State::Wrong(why) => format!("WRONG: {}", one_line(why)),
        State::Failed(why) => format!("FAILED: {}", one_line(why)),
    }
}

/// One of a cell's figures.
type Of = fn(&Figures) -> f64;

/// Every figure with a number for each slice.
fn figures_of(runner: &Runner) -> Vec<Figure> {
    let mut found = Vec::new();
    let kinds: [(&str, Of); 3] = [
        ("best_us", |figures| figures.best_us),
        ("p50_us", |figures| figures.p50_us),
        ("p99_us", |figures| figures.p99_us),
    ];
    for batch in BATCHES {
        let slices: Vec<Figures> =
            runner.slices(batch).iter().filter_map(|slice| slice.figures()).collect();
        for (kind, of) in kinds.iter().filter(|_| !slices.is_empty()) {
            found.push(Figure {
                key: format!("peers.{}.batch={batch}.{kind}", runner.entry.name),
                unit: String::from("us"),
                better: Better::Lower,
                rounds: slices.iter().map(of).collect(),
            });
        }
    }
    found
}

fn markdown_table(table: &Table) -> String {
    let line = |cells: Vec<&str>| format!("| {} |\n", cells.join(" | "));
    let mut text = line(table.columns.iter().map(|column| column.name.as_str()).collect());
    let rule = |column: &Column| if column.is_number { "---:" } else { "---" };
    text.push_str(&line(table.columns.iter().map(rule).collect()));
    for row in &table.rows {
        text.push_str(&line(row.iter().map(String::as_str).collect()));
    }
    text
}

#[cfg(test)]
mod tests {
    use fusewire::{Activation, Dense, Model};

    use super::*;
    use crate::child::shell;
    use crate::peers;
    use crate::rounds;

    /// A report on a peer of 1 us, one of 2 us, and one that was found wrong.
    fn report() -> Report {
        let layer = Dense::new(1, 1, vec![1.0], None, Activation::Identity).unwrap();
        let model = Model::from_layers(vec![layer]).unwrap();
        let (folder, onnx_from) = (std::env::temp_dir(), String::new());
        let files = Files { folder, model, expected: Vec::new(), onnx_from };
        let peer = |at: usize, ns: u64| {
            let answer = format!("echo '{{\"took\": {{\"{ns}\": 3}}}}'");
            let child = shell(&format!("while read -r line; do {answer}; done"));
            Runner::new(peers::ALL[at], format!("version {at}"), State::Running(child))
        };
        let mut runners = [peer(0, 1000), peer(1, 2000), peer(2, 500)];
        let budget = Budget { slice: std::time::Duration::ZERO, rounds: 2 };
        rounds::measure(&mut runners, &budget);
        runners[2].state = State::Wrong(String::from("by a | mile"));
        let environment = Environment::watch().finish(&[]);
        Report::new(&files, &budget, environment, String::from("run"), &runners).unwrap()
    }

    #[test]
    fn ratios_are_to_the_first_and_wrong_peers_have_no_figures() {
        let page = report().markdown();
        let five = |cell: &str| [cell; 5].join(" | ");
        for (name, cell) in
            [("f32", "1.00 (1.00x)"), ("u8", "2.00 (2.00x)"), ("u8", "2.00"), ("f16", "-")]
        {
            let line = format!("| fusewire-{name} | {} |", five(cell));
            assert!(page.contains(&line), "no {line:?} in\n{page}");
        }
        assert!(page.contains("| fusewire-f16 | WRONG: by a   mile | version 2 |"), "{page}");
        assert!(!page.contains("0.50"), "{page}");
    }

    #[test]
    fn files_hold_every_peer_that_held_out() {
        let report = report();
        let csv = report.csv();
        assert_eq!(csv.lines().count(), 1 + 2 * BATCHES.len());
        let line = "fusewire-u8,\"version 1\",10,6,2,2,2,2.0000,2.0000";
        assert!(csv.lines().any(|told| told == line), "{csv}");
        let record = report.record();
        let keys: Vec<_> = record.figures.iter().map(|figure| figure.key.as_str()).collect();
        assert_eq!(keys.len(), 2 * 3 * BATCHES.len());
        assert_eq!(keys[1], "peers.fusewire-f32.batch=1.p50_us");
        assert_eq!(record.figures[1].rounds, [1.0, 1.0]);
    }
}
