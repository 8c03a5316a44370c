//! What the items look like, for the OpenAPI document alone: `reading::decode` reads them, as a topic's records. See
//! `reading_schema` for why no type is both.

use serde::Serialize;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Ref, RefOr, Schema,
        schema::{ArrayBuilder, SchemaType, Type},
    },
};

use crate::http::ingest::reading_schema::{Number, Time};

/// A reading with its sensor. Other fields are ignored.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"sensor_id": 1, "value": 21.5, "timestamp": "2024-10-12T14:30:00Z"}))]
pub(super) struct SensorReading {
    /// The sensor.
    #[schema(example = 1)]
    sensor_id: i32,
    /// What was measured; finite.
    value: Number,
    /// When; the time of receipt where it is absent.
    #[schema(required = false)]
    timestamp: Time,
}

/// At least one of them.
pub(super) struct SensorReadings;

impl ToSchema for SensorReadings {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((SensorReading::name().into_owned(), SensorReading::schema()));
        SensorReading::schemas(schemas);
    }
}

impl PartialSchema for SensorReadings {
    fn schema() -> RefOr<Schema> {
        ArrayBuilder::new()
            .schema_type(SchemaType::Type(Type::Array))
            .items(Ref::from_schema_name(SensorReading::name()))
            .min_items(Some(1))
            .into()
    }
}
