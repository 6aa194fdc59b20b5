//! Formats of configurations. Files without a number are of the first one, which version 0.1.0 wrote; recipes may be
//! of any, and every version reads all that came before.

use toml::{Table, Value};

use crate::error::{Error, Result};

/// The format that is written.
pub(super) const NEWEST: i64 = 2;

/// Brings a table of the configuration up to the newest format, and takes the number out.
pub(super) fn bring_up_to_date(table: &mut Table) -> Result<()> {
    let format = match table.remove("format") {
        None => 1,
        Some(Value::Integer(format)) if (1..=NEWEST).contains(&format) => format,
        Some(other) => {
            return Err(Error::config(
                format!("format: expected a number from 1 to {NEWEST}, found {other}"),
                "was it written by a newer version?",
            ));
        }
    };
    if format < 2 {
        second_from_first(table)?;
    }
    Ok(())
}

/// The likelihood is a property of the model, and constants of one optimiser are none of another's.
fn second_from_first(table: &mut Table) -> Result<()> {
    for key in ["likelihood", "sigma"] {
        let objective = table.get_mut("objective").and_then(Value::as_table_mut);
        let Some(value) = objective.and_then(|objective| objective.remove(key)) else { continue };
        let model = table.entry("model").or_insert_with(|| Value::Table(Table::new()));
        let Some(model) = model.as_table_mut() else { continue };
        if model.insert(key.to_owned(), value).is_some() {
            return Err(Error::config(
                format!("{key} is in [objective] and in [model]"),
                "keep the one in [model]",
            ));
        }
    }
    // A warm-up was a number of steps beside the beta of loss H. What it was not is left for others to refuse.
    if let Some(objective) = table.get_mut("objective").and_then(Value::as_table_mut)
        && objective.get("kind").is_none_or(|kind| kind.as_str() == Some("h"))
        && let Some(steps) = objective.get("warmup_steps").and_then(Value::as_integer)
        && steps >= 0
    {
        objective.remove("warmup_steps");
        if steps > 0 {
            let to = objective.remove("beta").unwrap_or(Value::Float(4.0));
            let linear: [(&str, Value); 4] = [
                ("schedule", "linear".into()),
                ("from", 0.0.into()),
                ("to", to),
                ("steps", steps.into()),
            ];
            let linear = linear.map(|(key, value)| (key.to_owned(), value));
            objective.insert("beta".into(), Value::Table(Table::from_iter(linear)));
        }
    }
    // That version wrote Adam's constants for Adagrad too, which did not use them.
    if let Some(optimizer) = table.get_mut("optimizer").and_then(Value::as_table_mut)
        && optimizer.get("kind").and_then(Value::as_str) == Some("adagrad")
    {
        for (key, unused) in [("beta_1", 0.9), ("beta_2", 0.999)] {
            if optimizer.get(key).and_then(Value::as_float) == Some(unused) {
                optimizer.remove(key);
            }
        }
    }
    Ok(())
}

/// What a change of a key is today, for keys of an earlier format.
pub(super) fn moved(key: &str, value: &str) -> Option<String> {
    match key {
        "objective.likelihood" | "objective.sigma" => {
            Some(format!("model.{}={value}", &key["objective.".len()..]))
        }
        "objective.warmup_steps" => {
            Some(format!("objective.beta={{ schedule = \"linear\", to = 4.0, steps = {value} }}"))
        }
        _ => None,
    }
}

/// A number of our own as TOML, which has no unsigned integers.
pub(super) fn integer(number: u64) -> Value {
    Value::Integer(number as i64)
}
