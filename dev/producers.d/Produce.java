import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.StringSerializer;

/** Sends lines of `codec<tab>key<tab>value` with Kafka's own client: Produce.java BROKERS TOPIC <lines */
public class Produce {
    /** Long enough for all lines of a codec to be in one batch of their partition; `close` sends them. */
    private static final String LINGER_MS = "10000";

    public static void main(String[] args) throws Exception {
        String brokers = args[0], topic = args[1];
        Map<String, KafkaProducer<String, String>> producers = new HashMap<>();
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line; (line = lines.readLine()) != null;) {
            String[] parts = line.split("\t", 3);
            KafkaProducer<String, String> producer = producers.computeIfAbsent(parts[0], codec -> create(brokers, codec));
            sent.add(producer.send(new ProducerRecord<>(topic, parts[1], parts[2])));
        }
        producers.values().forEach(KafkaProducer::close);
        for (Future<RecordMetadata> record : sent) {
            record.get();
        }
    }

    private static KafkaProducer<String, String> create(String brokers, String codec) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", brokers);
        settings.put("compression.type", codec);
        settings.put("acks", "all");
        settings.put("linger.ms", LINGER_MS);
        settings.put("batch.size", "1048576");
        StringSerializer text = new StringSerializer();
        return new KafkaProducer<>(settings, text, text);
    }
}
