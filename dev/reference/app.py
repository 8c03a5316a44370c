"""What sensorpipe replaces: the tutorial's app, grown up as far as such apps do.

FastAPI and asyncpg, a pool of 10 connections in each of uvicorn's workers. A request is answered when its readings
are in the table. `dev/bench` holds the api against it.
"""

import os
from contextlib import asynccontextmanager
from datetime import datetime, timezone

import asyncpg
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

POOL_SIZE = 10

INSERT_READING = "INSERT INTO sensor_data (sensor_id, value, time) VALUES ($1, $2, $3)"
INSERT_SENSOR = "INSERT INTO sensors (sensor_type, description, location) VALUES ($1, $2, $3) RETURNING sensor_id"

# All of the sensor's readings, sorted, for the newest seven days of them.
DAILY_AVG = """
    WITH daily AS (
        SELECT time_bucket('1 day', time) AS bucket,
               sensor_id,
               avg(value) AS avg_value,
               min(value) AS min_value,
               max(value) AS max_value,
               count(*) AS reading_count,
               percentile_cont(0.5) WITHIN GROUP (ORDER BY value) AS median_value,
               percentile_cont(0.25) WITHIN GROUP (ORDER BY value) AS lower_quartile,
               percentile_cont(0.75) WITHIN GROUP (ORDER BY value) AS upper_quartile
          FROM sensor_data
         WHERE sensor_id = $1
         GROUP BY bucket, sensor_id
    )
    SELECT bucket::date AS day, sensor_id, avg_value, min_value, max_value, reading_count, median_value,
           upper_quartile - lower_quartile AS iqr_value
      FROM daily
     ORDER BY day DESC
     LIMIT 7"""


class Sensor(BaseModel):
    sensor_type: str
    description: str | None = None
    location: str | None = None


class Reading(BaseModel):
    value: float
    timestamp: datetime | None = None

    def row(self, sensor_id):
        time = self.timestamp or datetime.now(timezone.utc)
        return sensor_id, self.value, time if time.tzinfo else time.replace(tzinfo=timezone.utc)


class Readings(BaseModel):
    data: list[Reading]


@asynccontextmanager
async def lifespan(app):
    # Days are UTC, and nobody has to ask the server for its own zone.
    settings = {"timezone": "UTC"}
    async with asyncpg.create_pool(
        os.environ["DATABASE_URL"], min_size=POOL_SIZE, max_size=POOL_SIZE, server_settings=settings
    ) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/sensors")
async def create_sensor(sensor: Sensor):
    sensor_id = await app.state.pool.fetchval(
        INSERT_SENSOR, sensor.sensor_type, sensor.description, sensor.location
    )
    return {"sensor_id": sensor_id, "message": "Sensor created successfully."}


@app.post("/sensor_data/{sensor_id}")
async def send_readings(sensor_id: int, body: Reading | Readings):
    try:
        async with app.state.pool.acquire() as connection:
            if isinstance(body, Readings):
                async with connection.transaction():
                    await connection.executemany(INSERT_READING, [reading.row(sensor_id) for reading in body.data])
            else:
                await connection.execute(INSERT_READING, *body.row(sensor_id))
    except asyncpg.ForeignKeyViolationError as error:
        raise HTTPException(404, "Sensor not found.") from error
    return {"message": "Sensor data streamed successfully."}


@app.get("/daily_avg/{sensor_id}")
async def daily_avg(sensor_id: int):
    rows = await app.state.pool.fetch(DAILY_AVG, sensor_id)
    if not rows:
        raise HTTPException(404, "No data found for this sensor.")
    return [dict(row) for row in rows]
