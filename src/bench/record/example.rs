//! A record made up for tests, with one drawing of each kind and numbers as a machine might give.

use super::super::load::Durations;
use super::super::report::ModelFacts;
use super::*;
use crate::model::{Activation, Dense, Model};

/// The record.
pub(super) fn record() -> Record {
    Record {
        format: FORMAT,
        experiment: String::from("paper"),
        title: String::from("The paper's network on this machine"),
        environment: environment(),
        model: model(),
        method: vec![
            Fact::new("clock", "from the moment a request is due until its answer is read"),
            Fact::new("load", "open loop, requests at equal distances"),
            Fact::new("rounds", "5 of 2 s, backends in turn"),
            Fact::new("precision", "f32"),
            Fact::new("seed", "0x5eed"),
        ],
        sections: vec![finding(), load(), batches(), stages()],
        figures: figures(),
        histograms: vec![NamedHistogram { key: String::from("latency.cpu"), times: times(20.0) }],
    }
}

fn model() -> ModelFacts {
    // Two weights for two inputs, and a layer that has both.
    let layer = Dense::new(2, 1, vec![1.0, 2.0], None, Activation::Relu).unwrap();
    // One layer is a chain.
    let facts = ModelFacts::of(&Model::from_layers(vec![layer]).unwrap());
    let (name, architecture) = (String::from("fashion-mnist"), String::from("784-32-32-10"));
    ModelFacts { name, architecture, parameters: 26_506, ..facts }
}

fn environment() -> Environment {
    let device = |backend: &str, name: &str, detail: &str, took_part| DeviceFacts {
        backend: backend.to_owned(),
        name: name.to_owned(),
        detail: detail.to_owned(),
        took_part,
        failed: false,
    };
    Environment {
        cpu: String::from("Intel(R) Xeon(R) Platinum 8481C"),
        simd: String::from("AVX-512"),
        cores: 16,
        clock_mhz: vec![2700.0, 2699.1],
        os: String::from("linux 6.8.0"),
        arch: String::from("x86_64"),
        version: String::from("0.1.0"),
        commit: Some(String::from("8295865")),
        debug_build: false,
        devices: vec![
            device("cuda", "NVIDIA H200", "driver 12.8, compute capability 9.0", true),
            device("wgpu", "no Vulkan, Metal or DX12 adapter", "", false),
            device("cpu", "Intel(R) Xeon(R) Platinum 8481C", "AVX-512, 16 cores", true),
        ],
        started_unix_s: 1_795_378_268,
        took_s: 312.4,
        stolen_share: Some(0.0004),
        load_average: Some(0.31),
    }
}

/// A spread of times as queues have them: most near `us`, few far above.
fn times(us: f64) -> Durations {
    let mut times = Durations::default();
    for index in 0..40_000_u32 {
        let quantile = (f64::from(index) + 0.5) / 40_000.0;
        let slow = 1.0 + 0.18 * -(1.0 - quantile).ln() + 0.000_4 / (1.0 - quantile);
        times.add_ns((us * slow * 1e3) as u64);
    }
    times
}

fn curve(name: &str, stroke: Stroke, points: impl IntoIterator<Item = (f64, f64)>) -> Curve {
    let points = points.into_iter().map(|(x, y)| Point { x, y, range: None });
    Curve { name: name.to_owned(), stroke, points: points.collect() }
}

fn with_ranges(mut curve: Curve, share: f64) -> Curve {
    for point in &mut curve.points {
        point.range = Some((point.y * (1.0 - share), point.y * (1.0 + 2.0 * share)));
    }
    curve
}

fn chart(title: &str, drawing: Drawing) -> Chart {
    Chart { title: title.to_owned(), drawing }
}

fn curves(title: &str, x: Axis, y: Axis, curves: Vec<Curve>) -> Chart {
    chart(title, Drawing::Curves { x, y, curves })
}

fn finding() -> Section {
    let ratio = |name: &str, value: f64, low, high| Ratio {
        name: name.to_owned(),
        value,
        interval: Some((low, high)),
    };
    let ratios = vec![
        ratio("batch of 1", 0.34, 0.31, 0.38),
        ratio("batch of 100", 1.12, 0.97, 1.3),
        ratio("batch of 10,000", 6.8, 6.4, 7.1),
        ratio("batch of 1,000,000, rows of u8", 21.5, 19.0, 23.5),
    ];
    Section {
        title: String::from("What was found"),
        text: vec![String::from(
            "From batches of a hundred rows on, the GPU is the faster of the two; at a million \
             rows it is 21.5 times faster than sixteen cores. A single row is answered sooner by \
             the processor, which no transfer stands in front of.",
        )],
        charts: vec![chart(
            "Rows a second on the GPU, as multiples of the processor's",
            Drawing::Ratios { value: Axis::log("times faster than the processor"), ratios },
        )],
        tables: Vec::new(),
    }
}

fn load() -> Section {
    let rates = [5e4, 1e5, 2e5, 4e5, 6e5, 8e5, 1e6, 1.2e6];
    let answered = |most: f64| rates.map(|rate| (rate, most.min(rate * 0.998)));
    let offered = || Axis::linear("offered, rows a second");
    let throughput = curves(
        "Answered over offered",
        offered(),
        Axis::linear("answered, rows a second"),
        vec![
            with_ranges(curve("cuda, NVIDIA H200", Stroke::Marked, answered(1.08e6)), 0.02),
            with_ranges(curve("cpu, 16 cores", Stroke::Marked, answered(6.4e5)), 0.03),
            curve("all that is offered", Stroke::Reference, [(0.0, 0.0), (1.2e6, 1.2e6)]),
        ],
    );
    let shares = [0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95];
    let wait =
        |scale: f64| shares.map(|share| (share * 100.0, scale * (1.0 + share / (1.0 - share))));
    let latency = curves(
        "Latency over load",
        Axis::log("load, % of what is kept"),
        Axis::log("latency, us"),
        vec![
            curve("p50", Stroke::Marked, wait(11.0)),
            curve("p99", Stroke::Marked, wait(38.0)),
            with_ranges(curve("p99.9", Stroke::Marked, wait(170.0)), 0.3),
        ],
    );
    let (cpu, cuda) = (times(20.0), times(34.0));
    let spectrum = spectrum(&[(String::from("cpu"), &cpu), (String::from("cuda"), &cuda)]);
    let threads = [1.0_f64, 2.0, 4.0, 8.0, 16.0];
    let scaling = curves(
        "Scalability",
        Axis::linear("threads"),
        Axis::linear("rows a second"),
        vec![
            with_ranges(
                curve("measured", Stroke::Marked, threads.map(|n| (n, 8e4 * n.powf(0.87)))),
                0.02,
            ),
            curve("as many times as threads", Stroke::Reference, threads.map(|n| (n, 8e4 * n))),
        ],
    );
    let rows = rates.map(|rate| {
        let words = [rate, rate.min(1.08e6), rate.min(6.4e5)];
        words.map(|rate| format!("{rate:.0}")).to_vec()
    });
    Section {
        title: String::from("Under load"),
        text: vec![String::from("Requests arrive at a rate, whatever becomes of those before.")],
        charts: vec![throughput, latency, spectrum, scaling],
        tables: vec![Table {
            columns: ["offered, rows/s", "cuda, rows/s", "cpu, rows/s"]
                .map(Column::numbers)
                .to_vec(),
            rows: rows.to_vec(),
        }],
    }
}

fn batches() -> Section {
    let sizes = [1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6];
    let time = |start: f64, row: f64| sizes.map(|rows| (rows, start + rows * row));
    let roof = [0.1, 0.5, 1.0, 2.0, 5.0, 9.0, 50.0].map(|x: f64| (x, (4.8e3 * x).min(4.4e4)));
    let latency = curves(
        "Latency over batch size",
        Axis::log("rows in a batch"),
        Axis::log("time of a batch, us"),
        vec![
            curve("cpu", Stroke::Marked, time(2.1, 0.62)),
            curve("cuda, launched", Stroke::Marked, time(15.0, 0.009)),
            curve("cuda, resident", Stroke::Marked, time(7.5, 0.011)),
        ],
    );
    let roofline = curves(
        "Roofline",
        Axis::log("operations a byte"),
        Axis::log("GFLOP/s"),
        vec![
            curve("ceiling of memory and arithmetic", Stroke::Reference, roof),
            curve("f32 rows", Stroke::Points, [(2.1, 6.2e3), (8.2, 2.9e4)]),
            curve("u8 rows", Stroke::Points, [(16.3, 3.6e4)]),
        ],
    );
    let names = ["rows", "cpu, us", "cuda, us"].map(Column::numbers);
    let rows =
        time(2.1, 0.62).into_iter().zip(time(15.0, 0.009)).map(|((rows, cpu), (_, cuda))| {
            vec![format!("{rows:.0}"), format!("{cpu:.1}"), format!("{cuda:.1}")]
        });
    Section {
        title: String::from("Over batch sizes"),
        text: vec![String::from("A closed loop: a batch starts when the one before has returned.")],
        charts: vec![latency, roofline],
        tables: vec![Table { columns: names.to_vec(), rows: rows.collect() }],
    }
}

fn stages() -> Section {
    let bar = |name: &str, values: [f64; 4]| Bar { name: name.to_owned(), values: values.to_vec() };
    let bars = vec![
        bar("cpu, batch of 1", [0.4, 0.0, 1.8, 0.3]),
        bar("cuda, batch of 1", [0.6, 3.1, 2.4, 2.9]),
        bar("cuda, batch of 1,024, resident kernel", [1.9, 5.4, 3.3, 3.2]),
    ];
    let parts = ["queue", "transfer", "computation", "answer"].map(String::from).to_vec();
    Section {
        title: String::from("Where the time goes"),
        text: vec![String::from("Stages of one request, medians; they add up to the round trip.")],
        charts: vec![chart("Stages", Drawing::Bars { value: Axis::linear("us"), parts, bars })],
        tables: Vec::new(),
    }
}

fn figures() -> Vec<Figure> {
    let figure = |key: &str, unit: &str, better, at: f64| Figure {
        key: key.to_owned(),
        unit: unit.to_owned(),
        better,
        rounds: [0.99, 1.0, 1.02, 0.985, 1.01].map(|share| at * share).to_vec(),
    };
    vec![
        figure("latency.cpu.batch=1.p50_us", "us", Better::Lower, 2.1),
        figure("latency.cuda.batch=1.p50_us", "us", Better::Lower, 7.5),
        figure("throughput.cuda.rows_per_s", "rows/s", Better::Higher, 1.08e6),
    ]
}
