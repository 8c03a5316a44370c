//! The tests' own ground holds.

use testbed::{Delivered, Record, TestTopic, eventually};

#[tokio::test]
async fn records_land_in_order_and_transactions_leave_gaps() {
    let topic = TestTopic::create(2).await;
    let records = (0..1_000).map(|n| {
        Record::new(n.to_string()).key("1").partition(1).header("h", "v").timestamp_ms(1_728_743_340_000)
    });
    let delivered = topic.produce(records).await;
    let expected: Vec<_> = (0..1_000).map(|offset| Delivered { partition: 1, offset }).collect();
    assert_eq!(delivered, expected);

    let two = || [Record::new("x"), Record::without_value()].map(|record| record.partition(0));
    topic.produce_in_transaction(two(), false).await;
    let committed = topic.produce_in_transaction(two(), true).await;
    // Two records and the marker that aborts them come first.
    assert_eq!(committed[0], Delivered { partition: 0, offset: 3 });
    assert_eq!(topic.watermarks().await, [(0, 6), (0, 1_000)]);
}

#[tokio::test]
#[should_panic(expected = "not so after")]
async fn waiting_has_an_end() {
    eventually(std::time::Duration::from_millis(1), async || false).await;
}
