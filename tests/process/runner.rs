//! Runs scenarios, each in a process of its own, and prints what the usual test runner would.

use std::env;
use std::process::{Command, Output};

/// Names a scenario to the process that runs it.
const SCENARIO: &str = "FUSEWIRE_SCENARIO";

/// A scenario's name, and what it does.
type Scenario = (&'static str, fn());

pub fn main(scenarios: &[Scenario]) {
    if let Ok(wanted) = env::var(SCENARIO) {
        let (_, run) = scenarios.iter().find(|(name, _)| *name == wanted).expect("a scenario");
        return run();
    }
    let wanted: Vec<String> = env::args().skip(1).filter(|it| !it.starts_with('-')).collect();
    let chosen = |name: &str| wanted.is_empty() || wanted.iter().any(|it| name.contains(it));
    let (mut passed, mut failed) = (0, 0);
    let mut shown = String::new();
    for (name, _) in scenarios.iter().filter(|(name, _)| chosen(name)) {
        let output = own_process(name, &[]);
        let succeeded = output.status.success();
        println!("test {name} ... {}", if succeeded { "ok" } else { "FAILED" });
        let text = String::from_utf8_lossy(&output.stdout);
        if succeeded {
            passed += 1;
            shown += &format!("---- {name} stdout ----\n{text}\n");
        } else {
            failed += 1;
            let errors = String::from_utf8_lossy(&output.stderr);
            println!("{text}{errors}{}", output.status);
        }
    }
    println!("\nsuccesses:\n\n{shown}");
    let result = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {result}. {passed} passed; {failed} failed; 0 ignored");
    std::process::exit(i32::from(failed > 0));
}

/// Runs a scenario in a process of its own, in this environment.
pub fn own_process(scenario: &str, environment: &[(&str, &str)]) -> Output {
    let program = env::current_exe().expect("this program's file");
    let mut command = Command::new(program);
    command.env(SCENARIO, scenario).envs(environment.iter().copied());
    command.output().expect("this program can be run")
}
