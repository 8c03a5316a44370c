//! Which dead letters are meant.

use chrono::{DateTime, Utc};
use sqlx::{Postgres, QueryBuilder};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr, Schema,
        schema::{ObjectBuilder, Type},
    },
};

use crate::reading::Reason;

/// Conditions, each of which may be absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = FilterBody)]
pub struct Filter {
    /// Of this topic.
    #[schema(pattern = "^[A-Za-z0-9._-]{1,249}$", required = false, value_type = String)]
    pub topic: Option<String>,
    /// Of this partition.
    #[schema(minimum = 0, required = false, value_type = i32)]
    pub partition: Option<i32>,
    /// Set aside for this reason.
    #[schema(inline, required = false, value_type = ReasonName)]
    pub reason: Option<Reason>,
    /// Whose record's key is this sensor's id.
    #[schema(required = false, value_type = i32)]
    pub sensor_id: Option<i32>,
    /// Set aside then or later, in any form that a reading's timestamp has.
    #[schema(example = "2026-11-01", required = false, value_type = String)]
    pub since: Option<DateTime<Utc>>,
    /// Set aside before then.
    #[schema(example = "2026-11-02", required = false, value_type = String)]
    pub until: Option<DateTime<Utc>>,
}

impl Filter {
    /// Appends the conditions that there are, so that the planner sees which index serves them.
    pub(super) fn push_to(&self, query: &mut QueryBuilder<'_, Postgres>) {
        if let Some(topic) = &self.topic {
            query.push(" AND topic = ").push_bind(topic.clone());
        }
        if let Some(partition) = self.partition {
            query.push(" AND partition = ").push_bind(partition);
        }
        if let Some(reason) = self.reason {
            query.push(" AND reason = ").push_bind(reason.as_str());
        }
        if let Some(sensor_id) = self.sensor_id {
            query.push(" AND key = ").push_bind(sensor_id.to_string().into_bytes());
        }
        if let Some(since) = self.since {
            query.push(" AND received_at >= ").push_bind(since);
        }
        if let Some(until) = self.until {
            query.push(" AND received_at < ").push_bind(until);
        }
    }
}

/// The name of a [`Reason`], of which the OpenAPI document lists all.
pub struct ReasonName;

impl ToSchema for ReasonName {}

impl PartialSchema for ReasonName {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(Reason::ALL.map(Reason::as_str)))
            .description(Some("Why a reading was set aside."))
            .examples(["unknown_sensor"])
            .into()
    }
}
