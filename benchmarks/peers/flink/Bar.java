package tickrec;

/** A minute bar; a POJO in Flink's sense. Until its first quote n is 0 and the prices mean nothing. */
public class Bar {
    public double o;
    public double h;
    public double l;
    public double c;
    public double v;
    public long n;
    public double pv;

    /** Takes in a quote that is newer than those before. */
    public Bar fold(Quote quote) {
        double price = quote.price;
        if (n == 0) {
            o = h = l = price;
        } else if (price > h) {
            h = price;
        } else if (price < l) {
            l = price;
        }
        c = price;
        v += quote.size;
        n += 1;
        pv += price * quote.size;
        return this;
    }
}
