//! Which sensors a query is about.

use super::{QueryApi, query_failed};
use crate::{
    http::server::{ApiError, FieldError, Parameters, parameters::invalid},
    store::queries::{Selection, select},
};

/// `ids`, `type` and `location`; a sensor has to have all that are given.
pub(super) fn take(parameters: &mut Parameters<'_>, sensors_max: usize) -> Selection {
    Selection {
        ids: parameters.take("ids", |text| ids(text, sensors_max)),
        sensor_type: parameters.take("type", text),
        location: parameters.take("location", text),
    }
}

/// The ids of the sensors selected; too many are refused, for no answer holds them.
pub(super) async fn resolve(api: &QueryApi, selection: Selection) -> Result<Vec<i32>, ApiError> {
    let max = api.limits.sensors_max;
    let name =
        if selection.sensor_type.is_none() && selection.location.is_some() { "location" } else { "type" };
    let sensor_ids = select(&api.reads, selection, max + 1).await.map_err(query_failed)?;
    if sensor_ids.len() > max {
        return Err(invalid(name, too_many(max)));
    }
    Ok(sensor_ids)
}

fn too_many(max: usize) -> FieldError {
    FieldError::new("too_many_sensors", format!("Input should select at most {max} sensors"))
}

fn ids(text: &str, max: usize) -> Result<Vec<i32>, FieldError> {
    if text.split(',').count() > max {
        return Err(too_many(max));
    }
    text.split(',').map(|id| id.trim().parse()).collect::<Result<_, _>>().map_err(|_| {
        let msg =
            format!("Input should be valid integers from {} to {}, separated by commas", i32::MIN, i32::MAX);
        FieldError::new("int_parsing", msg)
    })
}

/// Any text that a column can hold.
fn text(text: &str) -> Result<String, FieldError> {
    if text.contains('\0') { Err(FieldError::nul()) } else { Ok(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_integers_between_commas() {
        assert_eq!(ids("3", 2), Ok(vec![3]));
        assert_eq!(ids("3, 1", 2), Ok(vec![3, 1]));
        for text in ["", "1,", "a", "1;2", "2147483648"] {
            assert_eq!(ids(text, 2).unwrap_err().kind, "int_parsing", "{text}");
        }
        assert_eq!(ids("1,2,3", 2).unwrap_err().kind, "too_many_sensors");
    }
}
