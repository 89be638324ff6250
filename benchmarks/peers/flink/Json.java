package tickrec;

import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.ObjectWriter;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.module.blackbird.BlackbirdModule;

import java.io.IOException;
import java.io.UncheckedIOException;

/** JSON by Jackson's data binding, with the module that generates code instead of reflecting. */
final class Json {
    private static final JsonMapper MAPPER =
            JsonMapper.builder().addModule(new BlackbirdModule()).build();
    private static final ObjectReader QUOTE = MAPPER.readerFor(Quote.class);
    private static final ObjectWriter BAR = MAPPER.writerFor(Bar.class);

    private Json() {}

    static Quote quote(byte[] json) {
        try {
            return QUOTE.readValue(json);
        } catch (IOException bad) {
            throw new UncheckedIOException(bad);
        }
    }

    static byte[] bytes(Bar bar) {
        try {
            return BAR.writeValueAsBytes(bar);
        } catch (IOException bad) {
            throw new UncheckedIOException(bad);
        }
    }
}
