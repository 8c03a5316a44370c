//! Sensors are made: their ids are taken in the topic of the sensors before the table has them for good.

use futures_util::future::BoxFuture;

use super::SensorsApi;
use crate::{
    http::server::ApiError,
    kafka::{ClaimError, PublishError, UnreadError},
    registry::Description,
    reminder::Reminder,
    store::{
        Remedy,
        sensors::{self, NewSensor, Sensor},
    },
};

/// How often ids are asked for where those that the database gives out are taken: its sequence went back.
const TRIES: usize = 10;

impl SensorsApi {
    /// Makes all of them or none; their ids are in the order of the sensors.
    pub(super) async fn make(&self, new: Vec<NewSensor>) -> Result<Vec<i32>, ApiError> {
        let kafka_is_away = || {
            ApiError::Unavailable(
                "Kafka does not answer now, which keeps the ids of sensors. None was made.".into(),
            )
        };
        self.producer.ready().map_err(|_| kafka_is_away())?;
        // No connection is held for a topic that cannot be used.
        self.sensor_topic.read_to_end().await.map_err(|error| match error {
            UnreadError::TooSlow { .. } => kafka_is_away(),
            UnreadError::Unreadable { .. } => unclaimed(&error.into()),
        })?;
        for _ in 0..TRIES {
            let now = self.sensors.now();
            let topic = self.sensor_topic.clone();
            let claim = move |made: Vec<Sensor>| -> BoxFuture<'static, _> {
                Box::pin(async move { topic.claim(made.into_iter().map(described).collect()).await })
            };
            let made = match sensors::create_all(&self.pool, new.clone(), claim).await {
                // A sensor that came back has the id that the sequence gave out.
                Err(error) if error.remedy() == Remedy::UniqueViolation => {
                    let last = sensors::last_id(&self.pool).await?;
                    Err(ClaimError::Taken(self.sensor_topic.registry().taken(std::iter::once(last))))
                }
                made => made?,
            };
            match made {
                Ok(ids) => {
                    for &sensor_id in &ids {
                        self.sensors.insert_as_of(now, sensor_id);
                    }
                    return Ok(ids);
                }
                Err(ClaimError::Taken(taken)) => sensors::skip_ids(&self.pool, taken.up_to).await?,
                Err(error) => return Err(unclaimed(&error)),
            }
        }
        tracing::warn!("ids of sensors that the database gives out are taken, again and again");
        Err(ApiError::Unavailable("The ids that the database gives out are taken. None was made.".into()))
    }
}

fn described(Sensor { sensor_id, sensor_type, description, location }: Sensor) -> (i32, Description) {
    (sensor_id, Description { sensor_type, description, location })
}

fn unclaimed(error: &ClaimError) -> ApiError {
    static SAID: Reminder = Reminder::new();
    if SAID.is_due() {
        tracing::warn!(error = %error, "no sensor can be made: clients get 503");
    }
    ApiError::Unavailable(match error {
        ClaimError::Unread(UnreadError::Unreadable { .. }) => {
            "The topic that keeps the ids of sensors cannot be used: its operator has to act.".into()
        }
        ClaimError::Publish(PublishError::TimedOut) | ClaimError::Unread(_) => {
            "Kafka, which keeps the ids of sensors, did not answer in time. The sensors may exist or not."
                .into()
        }
        ClaimError::Publish(_) | ClaimError::Taken(_) => {
            "Kafka, which keeps the ids of sensors, refused them. The sensors may exist or not.".into()
        }
    })
}
