package tickrec;

import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.AggregateFunction;
import org.apache.flink.api.common.serialization.DeserializationSchema;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.connector.sink2.Sink;
import org.apache.flink.api.connector.sink2.SinkWriter;
import org.apache.flink.api.connector.sink2.WriterInitContext;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.PipelineOptions;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.windowing.ProcessWindowFunction;
import org.apache.flink.streaming.api.windowing.assigners.TumblingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.triggers.Trigger;
import org.apache.flink.streaming.api.windowing.triggers.TriggerResult;
import org.apache.flink.streaming.api.windowing.windows.TimeWindow;
import org.apache.flink.util.Collector;

import java.time.Duration;

/**
 * Quotes to minute bars with Flink's DataStream API, in a mini cluster of one process.
 *
 * KafkaSource, event time with an hour for late quotes, keyBy, tumbling windows that aggregate as
 * quotes come and fire once a second of the clock, a sink. Parallelism 1, state on the heap, objects
 * reused, no checkpoints. keyBy hands quotes on to a second thread, as Flink has it.
 */
public final class FlinkBars {
    private static final Duration MINUTE = Duration.ofMinutes(1);
    private static final Duration LATE = Duration.ofHours(1);
    private static final long FLUSH_INTERVAL_MS = 1000;

    public static void main(String[] args) throws Exception {
        StreamExecutionEnvironment flink =
                StreamExecutionEnvironment.createLocalEnvironment(1, settings());
        flink.fromSource(quotes(), watermarks(), "quotes")
                .keyBy(quote -> quote.instrument_id)
                .window(TumblingEventTimeWindows.of(MINUTE))
                .trigger(new OnceASecond())
                .aggregate(new Fold(), new Label())
                .sinkTo(new ToRedis());
        flink.execute("bars");
    }

    private static Configuration settings() {
        Configuration settings = new Configuration();
        settings.set(PipelineOptions.OBJECT_REUSE, true);
        return settings;
    }

    private static KafkaSource<Quote> quotes() {
        return KafkaSource.<Quote>builder()
                .setBootstrapServers(System.getenv("KAFKA_BOOTSTRAP_SERVERS"))
                .setGroupId(System.getenv("NAMESPACE") + "-flink")
                .setTopics("quotes")
                .setStartingOffsets(OffsetsInitializer.earliest())
                .setValueOnlyDeserializer(new QuoteSchema())
                .setProperty("max.poll.records", "10000")
                .setProperty("fetch.min.bytes", "100000")
                .setProperty("fetch.max.wait.ms", "100")
                .build();
    }

    private static WatermarkStrategy<Quote> watermarks() {
        return WatermarkStrategy.<Quote>forBoundedOutOfOrderness(LATE)
                .withTimestampAssigner((quote, published) -> quote.ts);
    }

    private static final class QuoteSchema implements DeserializationSchema<Quote> {
        @Override
        public Quote deserialize(byte[] json) {
            RedisBars.begin();
            return Json.quote(json);
        }

        @Override
        public boolean isEndOfStream(Quote quote) {
            return false;
        }

        @Override
        public TypeInformation<Quote> getProducedType() {
            return TypeInformation.of(Quote.class);
        }
    }

    /**
     * Fires at the next full second of the clock after a quote, and when the window ends. Flink's own
     * ContinuousProcessingTimeTrigger fires no more once the clock has passed the window's end.
     */
    private static final class OnceASecond extends Trigger<Quote, TimeWindow> {
        @Override
        public TriggerResult onElement(
                Quote quote, long timestamp, TimeWindow window, TriggerContext context) {
            context.registerEventTimeTimer(window.maxTimestamp());
            long now = context.getCurrentProcessingTime();
            // A timer that is there already stays one.
            context.registerProcessingTimeTimer(now - now % FLUSH_INTERVAL_MS + FLUSH_INTERVAL_MS);
            return TriggerResult.CONTINUE;
        }

        @Override
        public TriggerResult onProcessingTime(
                long time, TimeWindow window, TriggerContext context) {
            return TriggerResult.FIRE;
        }

        @Override
        public TriggerResult onEventTime(long time, TimeWindow window, TriggerContext context) {
            return TriggerResult.FIRE;
        }

        @Override
        public void clear(TimeWindow window, TriggerContext context) {
            context.deleteEventTimeTimer(window.maxTimestamp());
        }
    }

    private static final class Fold implements AggregateFunction<Quote, Bar, Bar> {
        @Override
        public Bar createAccumulator() {
            return new Bar();
        }

        @Override
        public Bar add(Quote quote, Bar bar) {
            return bar.fold(quote);
        }

        @Override
        public Bar getResult(Bar bar) {
            return bar;
        }

        @Override
        public Bar merge(Bar one, Bar other) {
            throw new UnsupportedOperationException("tumbling windows do not merge");
        }
    }

    /** A bar with its instrument and minute. */
    public static final class Labelled {
        public long instrument;
        public long startMs;
        public Bar bar;
    }

    private static final class Label extends ProcessWindowFunction<Bar, Labelled, Long, TimeWindow> {
        @Override
        public void process(
                Long instrument, Context context, Iterable<Bar> bars, Collector<Labelled> out) {
            Labelled labelled = new Labelled();
            labelled.instrument = instrument;
            labelled.startMs = context.window().getStart();
            labelled.bar = bars.iterator().next();
            out.collect(labelled);
        }
    }

    private static final class ToRedis implements Sink<Labelled> {
        @Override
        public SinkWriter<Labelled> createWriter(WriterInitContext context) {
            return new Writer(context);
        }
    }

    private static final class Writer implements SinkWriter<Labelled> {
        private final RedisBars bars = new RedisBars();
        private final WriterInitContext context;

        Writer(WriterInitContext context) {
            this.context = context;
            flushAgain();
        }

        @Override
        public void write(Labelled labelled, Context at) {
            bars.write(labelled.instrument, labelled.startMs, labelled.bar);
        }

        @Override
        public void flush(boolean endOfInput) {
            bars.flush();
        }

        @Override
        public void close() {
            bars.close();
        }

        private void flushAgain() {
            var clock = context.getProcessingTimeService();
            clock.registerTimer(clock.getCurrentProcessingTime() + FLUSH_INTERVAL_MS, now -> {
                bars.flush();
                flushAgain();
            });
        }
    }
}
