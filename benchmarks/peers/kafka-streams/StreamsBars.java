package tickrec;

import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.Windowed;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.ContextualProcessor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.Stores;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.time.Duration;
import java.util.Properties;

/**
 * Quotes to minute bars with Kafka Streams' DSL: groupByKey, tumbling windows, aggregate.
 *
 * The window store is in memory, without a changelog, behind the record cache: a bar leaves it once
 * a second, when the one thread commits, however many quotes it took. Its bytes are packed numbers,
 * as the store deserializes and serializes them for each quote. Windows take late quotes for an
 * hour, as ours do.
 */
public final class StreamsBars {
    private static final Duration MINUTE = Duration.ofMinutes(1);
    private static final Duration GRACE = Duration.ofHours(1);
    private static final Duration FLUSH_INTERVAL = Duration.ofSeconds(1);
    private static final long CACHE_BYTES = 256L << 20;

    public static void main(String[] args) throws IOException {
        KafkaStreams streams = new KafkaStreams(topology(), settings());
        Runtime.getRuntime().addShutdownHook(
                new Thread(() -> streams.close(Duration.ofSeconds(5))));
        streams.start();
    }

    private static Topology topology() {
        Serde<Quote> quotes = Serdes.serdeFrom(new NoSerializer(), new QuoteDeserializer());
        Serde<Bar> bars = Serdes.serdeFrom(new BarSerializer(), new BarDeserializer());
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(
                        "quotes",
                        Consumed.with(Serdes.String(), quotes)
                                .withTimestampExtractor((record, last) -> ((Quote) record.value()).ts))
                .groupByKey()
                .windowedBy(TimeWindows.ofSizeAndGrace(MINUTE, GRACE))
                .aggregate(
                        Bar::new,
                        (instrument, quote, bar) -> bar.fold(quote),
                        Materialized.<String, Bar>as(
                                        Stores.inMemoryWindowStore(
                                                "bars", MINUTE.plus(GRACE), MINUTE, false))
                                .withKeySerde(Serdes.String())
                                .withValueSerde(bars)
                                .withCachingEnabled()
                                .withLoggingDisabled())
                .toStream()
                .process(ToRedis::new);
        return builder.build();
    }

    private static Properties settings() throws IOException {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, System.getenv("NAMESPACE") + "-kafka-streams");
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, System.getenv("KAFKA_BOOTSTRAP_SERVERS"));
        settings.put(StreamsConfig.STATE_DIR_CONFIG, Files.createTempDirectory("bars").toString());
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, FLUSH_INTERVAL.toMillis());
        settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, CACHE_BYTES);
        settings.put(StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG, 10_000);
        settings.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");
        settings.put(StreamsConfig.consumerPrefix("max.poll.records"), 10_000);
        settings.put(StreamsConfig.consumerPrefix("fetch.min.bytes"), 100_000);
        settings.put(StreamsConfig.consumerPrefix("fetch.max.wait.ms"), 100);
        return settings;
    }

    /** Writes the bars of all tasks: they share the one thread. */
    private static final class ToRedis extends ContextualProcessor<Windowed<String>, Bar, Void, Void> {
        private static final ThreadLocal<RedisBars> BARS = ThreadLocal.withInitial(RedisBars::new);

        @Override
        public void init(ProcessorContext<Void, Void> context) {
            super.init(context);
            context.schedule(
                    FLUSH_INTERVAL, PunctuationType.WALL_CLOCK_TIME, now -> BARS.get().flush());
        }

        @Override
        public void process(Record<Windowed<String>, Bar> record) {
            Windowed<String> key = record.key();
            BARS.get().write(Long.parseLong(key.key()), key.window().start(), record.value());
        }
    }

    private static final class QuoteDeserializer implements Deserializer<Quote> {
        @Override
        public Quote deserialize(String topic, byte[] json) {
            RedisBars.begin();
            return Json.quote(json);
        }
    }

    private static final class NoSerializer implements Serializer<Quote> {
        @Override
        public byte[] serialize(String topic, Quote quote) {
            throw new UnsupportedOperationException("quotes are only read");
        }
    }

    private static final class BarSerializer implements Serializer<Bar> {
        private static final int BYTES = 7 * Double.BYTES;

        @Override
        public byte[] serialize(String topic, Bar bar) {
            return bar == null ? null : ByteBuffer.allocate(BYTES)
                    .putDouble(bar.o).putDouble(bar.h).putDouble(bar.l).putDouble(bar.c)
                    .putDouble(bar.v).putLong(bar.n).putDouble(bar.pv)
                    .array();
        }
    }

    private static final class BarDeserializer implements Deserializer<Bar> {
        @Override
        public Bar deserialize(String topic, byte[] bytes) {
            if (bytes == null) {
                return null;
            }
            ByteBuffer buffer = ByteBuffer.wrap(bytes);
            Bar bar = new Bar();
            bar.o = buffer.getDouble();
            bar.h = buffer.getDouble();
            bar.l = buffer.getDouble();
            bar.c = buffer.getDouble();
            bar.v = buffer.getDouble();
            bar.n = buffer.getLong();
            bar.pv = buffer.getDouble();
            return bar;
        }
    }
}
