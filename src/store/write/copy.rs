//! Rows in Postgres' binary COPY format.

use sqlx::PgConnection;

use crate::{batch::Row, store::StoreError};

/// Signature, flags and extension, as the format's description has them.
const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// A field count of −1.
const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();
/// Field count, then length and value of `sensor_id`, `value` and `time`.
const ROW_BYTES: usize = 2 + (4 + 4) + (4 + 8) + (4 + 8);
/// Rows in one message: enough to fill the socket, few enough that the server works while the next is encoded.
const ROWS_PER_MESSAGE: usize = 4_096;

/// Copies rows into `sensor_data`; says how many the server has taken.
pub(super) async fn copy(connection: &mut PgConnection, rows: &[Row]) -> Result<u64, StoreError> {
    let doing = "copying readings";
    let mut stream = connection
        .copy_in_raw("COPY sensor_data (sensor_id, value, time) FROM STDIN (FORMAT binary)")
        .await
        .map_err(StoreError::new(doing))?;
    let mut message = Vec::with_capacity(HEADER.len() + ROWS_PER_MESSAGE * ROW_BYTES + TRAILER.len());
    message.extend_from_slice(HEADER);
    for some in rows.chunks(ROWS_PER_MESSAGE) {
        encode_rows(some, &mut message);
        // A refused row shows here or at the end; either way the end must be reached for the connection's sake.
        if stream.send(message.as_slice()).await.is_err() {
            break;
        }
        message.clear();
    }
    let _ = stream.send(TRAILER.as_slice()).await;
    stream.finish().await.map_err(StoreError::new(doing))
}

/// Appends rows in the format, 34 bytes each, without its header and trailer.
pub fn encode_rows(rows: &[Row], message: &mut Vec<u8>) {
    for row in rows {
        let mut bytes = [0; ROW_BYTES];
        bytes[..2].copy_from_slice(&3_i16.to_be_bytes());
        bytes[2..6].copy_from_slice(&4_i32.to_be_bytes());
        bytes[6..10].copy_from_slice(&row.sensor_id.to_be_bytes());
        bytes[10..14].copy_from_slice(&8_i32.to_be_bytes());
        bytes[14..22].copy_from_slice(&row.value.to_be_bytes());
        bytes[22..26].copy_from_slice(&8_i32.to_be_bytes());
        bytes[26..34].copy_from_slice(&row.time.to_be_bytes());
        message.extend_from_slice(&bytes);
    }
}
