//! What stands at the end of a page: how, where and on what, and every figure.

use super::super::numbers;
use super::super::{Better, Environment, Fact, Figure};
use super::date;
use super::markup::{element, escaped};

/// How it was measured.
pub(super) fn method(facts: &[Fact]) -> String {
    let facts = facts.iter().map(|fact| (&*fact.name, fact.value.clone()));
    format!("<section>\n<h2>Method</h2>\n{}</section>\n", list(facts.collect()))
}

/// Where and when it was taken, and what may have spoilt it.
pub(super) fn environment(environment: &Environment) -> String {
    let mut section = String::from("<section id=\"environment\">\n<h2>Environment</h2>\n");
    for warning in environment.disturbances() {
        section += &format!("<p class=\"warning\">{}</p>\n", escaped(&warning));
    }
    section += &list(machine(environment));
    if !environment.devices.is_empty() {
        section += &element("h3", "Devices");
        section += &list(devices(environment));
    }
    section + "</section>\n"
}

fn machine(environment: &Environment) -> Vec<(&str, String)> {
    let unknown = || String::from("unknown");
    let clock: Vec<String> =
        environment.clock_mhz.iter().map(|mhz| numbers::figure(*mhz)).collect();
    let clock = if clock.is_empty() { unknown() } else { clock.join(" MHz, then ") + " MHz" };
    let stolen = environment.stolen_share.map(|share| format!("{:.2} %", share * 100.0));
    let load = environment.load_average.map(|load| format!("{load:.2}"));
    vec![
        ("processor", environment.cpu.clone()),
        ("SIMD level", environment.simd.clone()),
        ("cores", environment.cores.to_string()),
        ("clock", clock),
        ("operating system", environment.os.clone()),
        ("architecture", environment.arch.clone()),
        ("fusewire", environment.version.clone()),
        ("commit", environment.commit.clone().unwrap_or_else(unknown)),
        ("build", environment.build().to_owned()),
        ("began", date::of(environment.started_unix_s)),
        ("took", format!("{} s", numbers::figure(environment.took_s))),
        ("time stolen by the host", stolen.unwrap_or_else(unknown)),
        ("load average at the start", load.unwrap_or_else(unknown)),
    ]
}

fn devices(environment: &Environment) -> Vec<(&str, String)> {
    let devices = environment.devices.iter().map(|device| {
        let detail = if device.detail.is_empty() { "" } else { ", " };
        let left_out = if device.took_part { "" } else { " (took no part)" };
        (&*device.backend, format!("{}{detail}{}{left_out}", device.name, device.detail))
    });
    devices.collect()
}

fn list(facts: Vec<(&str, String)>) -> String {
    let facts = facts.into_iter().map(|(name, value)| {
        format!("<div><dt>{}</dt><dd>{}</dd></div>\n", escaped(name), escaped(&value))
    });
    format!("<dl>\n{}</dl>\n", facts.collect::<String>())
}

/// Every figure, folded.
pub(super) fn figures(figures: &[Figure]) -> String {
    let number = |value: Option<f64>| value.map_or_else(String::new, numbers::figure);
    let rows = figures.iter().map(|figure| {
        let (low, high) = figure.range().unzip();
        let better = match figure.better {
            Better::Lower => "lower",
            Better::Higher => "higher",
        };
        let words = [&*figure.key, &*figure.unit, better];
        let words = words.map(|word| format!("<td>{}</td>", escaped(word))).concat();
        let rounds = Some(figure.rounds.len().to_string());
        let numbers = [figure.median(), low, high].map(number).into_iter().chain(rounds);
        let numbers = numbers.map(|number| format!("<td class=\"n\">{number}</td>"));
        format!("<tr>{words}{}</tr>\n", numbers.collect::<String>())
    });
    let words = ["figure", "unit", "better"].map(|name| format!("<th scope=\"col\">{name}</th>"));
    let numbers = ["median", "lowest", "highest", "rounds"]
        .map(|name| format!("<th scope=\"col\" class=\"n\">{name}</th>"));
    let (names, rows) = (words.concat() + &numbers.concat(), rows.collect::<String>());
    let count = numbers::thousands(figures.len() as u64);
    format!(
        "<section>\n<details>\n<summary>All {count} figures</summary>\n<div class=\"table\">\n\
         <table>\n<thead>\n<tr>{names}</tr>\n</thead>\n<tbody>\n{rows}</tbody>\n</table>\n</div>\n\
         </details>\n</section>\n"
    )
}
