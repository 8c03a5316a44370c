//! The sensor in a request's path.

use super::Parameters;
use crate::http::server::errors::{
    ApiError,
    validation::{FieldError, Step},
};

pub(in crate::http) const SENSOR_ID: [Step; 2] = [Step::Field("path"), Step::Field("sensor_id")];

/// A sensor's id; one that no column can hold is refused here.
pub(in crate::http) fn sensor_id(text: &str) -> Result<i32, FieldError> {
    text.parse().map_err(|_| FieldError::not_an_integer(i32::MIN, i32::MAX))
}

/// The sensor of a request in which nothing else can be wrong.
pub(in crate::http) fn sensor(text: &str) -> Result<i32, ApiError> {
    let mut parameters = Parameters::of(None);
    let sensor_id = parameters.sensor_id(text);
    parameters.finish().map(|()| sensor_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_an_integer() {
        assert_eq!(sensor_id("3"), Ok(3));
        assert_eq!(sensor_id("-3"), Ok(-3));
        for text in ["", "three", "3.0", "2147483648", "1 "] {
            assert_eq!(sensor_id(text).unwrap_err().kind, "int_parsing", "{text}");
        }
    }
}
