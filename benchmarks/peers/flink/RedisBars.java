package tickrec;

import redis.clients.jedis.Jedis;
import redis.clients.jedis.Pipeline;

import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;

/**
 * Writes bars through one pipeline: each is JSON in the hash of its instrument. Then it says in the
 * hash that the benchmark watches how many quotes that is. For one thread.
 */
final class RedisBars implements AutoCloseable {
    private static final int BARS_A_SYNC = 1000;
    private static final String NAMESPACE = System.getenv("NAMESPACE");
    private static final String PROGRESS = NAMESPACE + ":benchmark";
    private static volatile long startedMs;

    private record Minute(long instrument, long startS) {}

    private final Jedis redis = connect();
    private final Pipeline pipeline = redis.pipelined();
    private final Map<Minute, Long> quotes = new HashMap<>();
    private long done;
    private long said;
    private int queued;

    /** Says when the first quote came, if this is the first: the benchmark reads its clocks. */
    static void begin() {
        if (startedMs == 0) {
            sayBegun();
        }
    }

    private static synchronized void sayBegun() {
        if (startedMs != 0) {
            return;
        }
        startedMs = System.currentTimeMillis();
        try (Jedis redis = connect()) {
            redis.hset(PROGRESS, "started_ms", Long.toString(startedMs));
        }
    }

    private static Jedis connect() {
        return new Jedis(URI.create(System.getenv("REDIS_URL")));
    }

    void write(long instrument, long startMs, Bar bar) {
        long startS = startMs / 1000;
        byte[] key = utf8(NAMESPACE + ":bars:{q0}:" + instrument);
        pipeline.hset(key, utf8(Long.toString(startS)), Json.bytes(bar));
        Long before = quotes.put(new Minute(instrument, startS), bar.n);
        done += bar.n - (before == null ? 0 : before);
        queued += 1;
        if (queued == BARS_A_SYNC) {
            pipeline.sync();
            queued = 0;
        }
    }

    /** Waits until all is written, and says so. */
    void flush() {
        pipeline.sync();
        queued = 0;
        if (done == said) {
            return;
        }
        Map<String, String> report = Map.of(
                "started_ms", Long.toString(startedMs),
                "done", Long.toString(done),
                "written_ms", Long.toString(System.currentTimeMillis()));
        redis.hset(PROGRESS, report);
        said = done;
    }

    @Override
    public void close() {
        redis.close();
    }

    private static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}
