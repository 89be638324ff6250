package tickrec;

/** A price of an instrument at an event time, as it is in Kafka; a POJO in Flink's sense. */
public class Quote {
    public long instrument_id;
    public double price;
    public double size;
    /** epoch ms */
    public long ts;
}
