//! Numbers in JSON, which has none for infinity.

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserializer, Serializer};

/// A number, `"inf"` or `"-inf"`, or `null` for what is unknown (NaN).
pub(crate) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    match *value {
        f64::INFINITY => serializer.serialize_str("inf"),
        f64::NEG_INFINITY => serializer.serialize_str("-inf"),
        value if value.is_nan() => serializer.serialize_none(),
        value => serializer.serialize_f64(value),
    }
}

/// Reads what [`serialize`] writes; `null`, which once stood for infinity too, is NaN.
pub(crate) fn deserialize<'a, D: Deserializer<'a>>(deserializer: D) -> Result<f64, D::Error> {
    deserializer.deserialize_any(Number)
}

struct Number;

impl Visitor<'_> for Number {
    type Value = f64;

    fn expecting(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str("a number, \"inf\", \"-inf\" or null")
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<f64, E> {
        Ok(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<f64, E> {
        Ok(value as f64)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<f64, E> {
        Ok(value as f64)
    }

    fn visit_unit<E: Error>(self) -> Result<f64, E> {
        Ok(f64::NAN)
    }

    fn visit_none<E: Error>(self) -> Result<f64, E> {
        Ok(f64::NAN)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<f64, E> {
        match text {
            "inf" => Ok(f64::INFINITY),
            "-inf" => Ok(f64::NEG_INFINITY),
            "nan" => Ok(f64::NAN),
            _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::suite::Score;

    #[test]
    fn infinite_and_unknown_numbers_are_told_apart() {
        let score = Score {
            value: f64::INFINITY,
            low: f64::NEG_INFINITY,
            high: f64::NAN,
            samples: 7,
            convention: String::new(),
        };
        let text = serde_json::to_string(&score).unwrap();
        assert!(text.starts_with(r#"{"value":"inf","low":"-inf","high":null"#), "{text}");
        let read: Score = serde_json::from_str(&text).unwrap();
        assert_eq!((read.value, read.low), (f64::INFINITY, f64::NEG_INFINITY));
        assert!(read.high.is_nan());
        let old = r#"{"value":null,"low":0.5,"high":1,"samples":7,"convention":""}"#;
        let old: Score = serde_json::from_str(old).unwrap();
        assert!(old.value.is_nan() && old.high == 1.0);
        let wrong = r#"{"value":"much","low":0,"high":1,"samples":7,"convention":""}"#;
        let error = serde_json::from_str::<Score>(wrong).unwrap_err().to_string();
        assert!(error.contains("much") && error.contains("inf"), "{error}");
    }
}
