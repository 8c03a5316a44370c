//! Deletes the topics named on the command line; `dev/bench` cleans up with it.

use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let brokers = std::env::var("KAFKA_BROKERS")?;
    let topics: Vec<String> = std::env::args().skip(1).collect();
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", brokers).create()?;
    for deleted in admin.delete_topics(&topics, &AdminOptions::new()).await? {
        if let Err((topic, code)) = deleted {
            anyhow::bail!("{topic} is not deleted: {code}");
        }
    }
    Ok(())
}
