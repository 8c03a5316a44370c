//! What a body of readings looks like, for the OpenAPI document alone.
//!
//! Readings are parsed as they are read, without a copy of the body and with every error named, so that no type is what
//! is parsed: `sensor_data::body` and `reading::decode` do it. A test of [`crate::http::parsing`] holds them together.

use serde::Serialize;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr, Schema,
        schema::{KnownFormat, Object, ObjectBuilder, OneOfBuilder, SchemaFormat, Type},
    },
};

/// A decimal number as `parse_value` takes it, below where it stops being finite.
const NUMBER_PATTERN: &str =
    r"^[ \t\r\n]*[+-]?([0-9]{1,200}(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,2})?[ \t\r\n]*$";

/// One reading. Other fields are ignored.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"value": 23.5, "timestamp": "2024-10-12T14:29:00"}))]
pub(in crate::http) struct ReadingBody {
    /// What was measured; finite.
    value: Number,
    /// When; the time of receipt where it is absent.
    #[schema(required = false)]
    timestamp: Time,
    /// Not a list together with `value`.
    #[schema(schema_with = null, required = false)]
    data: (),
}

/// A reading of a batch. Other fields are ignored.
#[derive(Serialize, ToSchema)]
pub(super) struct ReadingItem {
    /// What was measured; finite.
    value: Number,
    /// When; the time of receipt where it is absent.
    #[schema(required = false)]
    timestamp: Time,
}

/// Many readings of one sensor. Other fields are ignored.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"data": [{"value": 22.7, "timestamp": "2024-10-12T14:30:00"}, {"value": 22.5, "timestamp": "2024-10-12T14:31:00"}]}))]
pub(super) struct BatchBody {
    /// The readings.
    #[schema(max_items = 500_000)]
    data: Vec<ReadingItem>,
    /// Not together with `data`.
    #[schema(schema_with = null, required = false)]
    value: (),
}

/// One reading or many, never both.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only describes the body")]
pub(in crate::http) enum ReadingsBody {
    Reading(ReadingBody),
    Batch(BatchBody),
}

/// A number, or one in quotes.
#[derive(Serialize)]
pub(in crate::http) struct Number;

impl ToSchema for Number {}

impl PartialSchema for Number {
    fn schema() -> RefOr<Schema> {
        OneOfBuilder::new()
            .item(number())
            .item(text().pattern(Some(NUMBER_PATTERN)))
            .description(Some("A number, or a decimal number in quotes."))
            .into()
    }
}

/// A time in any of its forms.
#[derive(Serialize)]
pub(super) struct Time;

impl ToSchema for Time {}

impl PartialSchema for Time {
    fn schema() -> RefOr<Schema> {
        OneOfBuilder::new()
            .item(text().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime))))
            .item(number())
            .description(Some(
                "A date-time: RFC 3339, with `T` or a space, with or without seconds; without an offset it is UTC, \
                 and digits below a microsecond are cut off. Or Unix time in seconds, or in milliseconds above 2e10, \
                 as a number or in quotes, rounded to microseconds.",
            ))
            .into()
    }
}

fn null() -> Object {
    ObjectBuilder::new().schema_type(Type::Null).build()
}

fn number() -> Object {
    ObjectBuilder::new().schema_type(Type::Number).build()
}

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}
