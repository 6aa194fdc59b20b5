//! Runs side by side.

use maud::{Markup, html};

use crate::runs::{Record, RunTable};

/// A column per run; rows for the settings in which they differ, the loss terms, and the scores.
pub(super) fn table(runs: &[&Record]) -> Markup {
    let table = RunTable::new(runs);
    let results = table.terms.iter().chain(&table.scores);
    html! {
        h2 { "Comparison" }
        div.wide {
            table {
                thead { tr { th {} @for run in &table.runs { th { (run) } } } }
                tbody {
                    @for row in &table.settings {
                        tr.setting { th { (row.name) } @for value in &row.values { td { (or_dash(value)) } } }
                    }
                    @for row in results {
                        tr { th { (row.name) } @for value in &row.values { td { (or_dash(value)) } } }
                    }
                }
            }
        }
        p {
            "First the settings in which the runs differ, then loss terms in nats per image with sampled z, then \
             scores with half their interval."
        }
    }
}

fn or_dash(text: &Option<String>) -> &str {
    text.as_deref().unwrap_or("\u{2013}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped() {
        let [a, b] = ["a", "<b>"].map(|name| Record::sketch(name, "", ""));
        let page = table(&[&a, &b]).into_string();
        assert!(page.contains("&lt;b&gt;") && !page.contains("<b>"), "{page}");
    }
}
