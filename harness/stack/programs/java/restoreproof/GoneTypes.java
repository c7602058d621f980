package restoreproof;

import io.debezium.spi.converter.CustomConverter;
import io.debezium.spi.converter.RelationalColumn;
import java.util.Properties;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaBuilder;
import org.apache.kafka.connect.data.Struct;

/**
 * Says of a value whose type is gone from the catalogue that it is so, and what Postgres printed.
 *
 * <p>A connector that comes to rows of before a DROP TYPE, after it, does not know their columns' types:
 * Debezium sends such values as bytes, in JSON as base64, which nobody can tell from a text that looks
 * like it. Here they come as {@code {"printed": "..."}}. Where the column has another type by now,
 * Debezium has read the value as one of that, and only says which: {@code {"misread": "..."}}.
 */
public final class GoneTypes implements CustomConverter<SchemaBuilder, RelationalColumn> {

    /** What Debezium's registry of types answers for a number that means nothing. */
    private static final int UNKNOWN_TYPE = -1;

    @Override
    public void configure(Properties settings) {
        // nothing can be set
    }

    @Override
    public void converterFor(RelationalColumn column, ConverterRegistration<SchemaBuilder> registration) {
        if (column.nativeType() == UNKNOWN_TYPE) {
            registration.register(shape(), new ToPrinted(column.defaultValue()));
        }
    }

    private static SchemaBuilder shape() {
        return SchemaBuilder.struct().optional()
                .field("printed", Schema.OPTIONAL_STRING_SCHEMA)
                .field("misread", Schema.OPTIONAL_STRING_SCHEMA);
    }

    /** Converts the values of one column. */
    private static final class ToPrinted implements CustomConverter.Converter {

        private final Schema shape = shape().build();

        /** The default that the column has by now, which is no row's: null once it was asked for. */
        private Object initial;

        ToPrinted(Object initial) {
            this.initial = initial;
        }

        @Override
        public Object convert(Object value) {
            if (value == null) {
                return null;
            }
            if (value == initial) {
                // asked once, when the column is described: a struct can't be a default there
                initial = null;
                return null;
            }
            return new Struct(shape).put(value instanceof String ? "printed" : "misread", value.toString());
        }
    }
}
