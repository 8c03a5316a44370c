//! librdkafka's own mock cluster, which gives any answer that it is asked to give. For what no real broker does on
//! demand; it holds 5 MiB a partition.

use rdkafka::{
    mocking::MockCluster,
    producer::DefaultProducerContext,
    types::{RDKafkaApiKey, RDKafkaRespErr},
};

use crate::{TestTopic, unique_name};

/// A cluster in this process; gone with the value.
pub struct MockKafka {
    cluster: MockCluster<'static, DefaultProducerContext>,
}

/// The requests that can be answered with an error.
pub use rdkafka::types::RDKafkaApiKey as Request;

impl MockKafka {
    /// A cluster of three brokers.
    pub fn start() -> Self {
        Self { cluster: MockCluster::new(3).expect("a mock cluster starts") }
    }

    /// A new topic in it.
    pub fn topic(&self, partitions: i32) -> TestTopic {
        let name = unique_name("topic");
        self.cluster.create_topic(&name, partitions, 3).expect("a topic can be made");
        TestTopic { name, brokers: self.cluster.bootstrap_servers(), partitions }
    }

    /// The code of every error that the protocol has and librdkafka knows.
    pub fn errors() -> Vec<i32> {
        (-1..=200).filter(|&code| code != 0 && RDKafkaRespErr::try_from(code).is_ok()).collect()
    }

    /// Answers the next requests of this kind with these errors.
    pub fn answer(&self, request: RDKafkaApiKey, codes: &[i32]) {
        let errors: Vec<RDKafkaRespErr> =
            codes.iter().map(|&code| code.try_into().expect("an error that librdkafka knows")).collect();
        self.cluster.request_errors(request, &errors);
    }

    /// Takes back what was to be answered and has not been.
    pub fn answer_well(&self, request: RDKafkaApiKey) {
        self.cluster.clear_request_errors(request);
    }
}
