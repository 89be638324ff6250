"""The settings matrix: each documented setting, its values, the stack, and the check of its effect.

A stack is what its rows say: they are the environments of its programs, and nothing else is in
them. `None` stands for a setting that is not set. For a choice all values are here; for a number
the default, another one, and a bound where the bound is of use.
"""

import json
from typing import Final

from tests.api.keys import entry
from tests.settings.rows import ALL, File, Given, Program, Row, rows
from tests.settings.seen_answers import AFFINITIES, BARS, POPULAR, RECOMMENDED, SIMILAR, in_force
from tests.settings.seen_input import early_refused, type_taken, unknown_field_refused
from tests.settings.seen_publication import (
    inconsistent_refused,
    losses_refused,
    named_in_models,
    rolled_back,
    shift_reported,
    single_users_reported,
    spread,
    tried_out,
)
from tests.settings.seen_running import (
    api_host,
    api_port,
    broker_used,
    key_needed,
    key_of_file_admitted,
    logged,
    metrics_host,
    metrics_served,
    names_answered,
    namespaced,
    origins_allowed,
    prefixed,
    private_host,
    private_port,
    quota_kept,
    spans_sent,
    store_used,
    streams_bounded,
)
from tests.settings.seen_selection import (
    as_chosen,
    chosen_by_coverage,
)
from tests.settings.seen_state import (
    away_taken_out,
    bad_feed_stopped,
    bars_closed_after,
    bars_expire,
    silent_given_up_after,
    static_member,
)
from tests.settings.seen_timing import (
    bars_written_every,
    counts_written_every,
    gives_up_after,
    trained_every,
)
from tests.settings.stack import KEY_OF_FILE

KEYS_FILE: Final = File(json.dumps([entry(KEY_OF_FILE, scopes=["read"])]))

WEIGHTS: Final = "purchase=8,view=3"

STACKS: Final = {
    "defaults": "nothing is set but addresses and ports",
    "weighted": "users and events weigh; today's clock makes their counts great numbers",
    "cluster": "a cluster, short histories, keys and a quota",
    "valued": "users weigh by value; all addresses, few logs",
    "tight": "lower bounds",
    "canary": "a new generation is some users' first",
    "strict": "no damage is put up with",
    "lenient": "all damage is put up with",
    "slow": "seldom writes, histories of one item",
    "broad": "what shows most items is chosen, and kept",
    "bare": "nothing is set at all, so everything is on the default ports",
}
ORDINARY: Final = ("weighted",)
"""Of `make test-slow`, as it has most that is set; `TICKREC_TEST_MATRIX=all` asks for all."""

_SERVED: Final = "defaults weighted cluster valued tight canary strict lenient slow broad"
_QUICK: Final = "cluster valued tight canary strict lenient broad"

_LOGGED_IN: Final = "weighted tight canary lenient strict"
USERS: Final[tuple[Program, ...]] = ALL
"""Each program is a user of its own, with no more rights than it needs."""

OF_KAFKA: Final = (
    *rows("KAFKA_PREFIX", ALL, {None: "defaults", "shop.": "weighted"}, prefixed),
    *rows(
        "KAFKA_SECURITY_PROTOCOL",
        ALL,
        {None: "defaults", "SASL_SSL": "weighted tight canary lenient", "SASL_PLAINTEXT": "strict",
         "SSL": "cluster"},
        broker_used,
    ),
    *rows("KAFKA_SSL_CA_FILE", ALL,
          {None: "defaults", Given.AUTHORITY: "weighted tight canary lenient cluster"},
          broker_used),
    *rows("KAFKA_SSL_CERTIFICATE_FILE", ALL, {None: "weighted", Given.CERTIFICATE: "cluster"},
          broker_used),
    *rows("KAFKA_SSL_KEY_FILE", ALL, {None: "weighted", Given.KEY: "cluster"}, broker_used),
    *rows(
        "KAFKA_SASL_MECHANISM",
        ALL,
        {None: "cluster", "SCRAM-SHA-512": "weighted strict", "SCRAM-SHA-256": "tight",
         "PLAIN": "canary", "OAUTHBEARER": "lenient"},
        broker_used,
    ),
    *(
        row
        for program in USERS
        for row in rows("KAFKA_SASL_USERNAME", program, {None: "cluster", program: _LOGGED_IN},
                        broker_used)
    ),
    *rows("KAFKA_SASL_PASSWORD", ALL, {None: "cluster", Given.PASSWORD: _LOGGED_IN}, broker_used),
    *rows("KAFKA_SASL_TOKEN_URL", ALL, {None: "weighted", Given.TOKENS: "lenient"}, broker_used),
    *rows("KAFKA_SASL_TOKEN_SCOPE", ALL, {None: "weighted", "streams": "lenient"}, broker_used),
)  # fmt: skip

SHARED: Final = (
    *OF_KAFKA,
    *rows(
        "KAFKA_BOOTSTRAP_SERVERS",
        ALL,
        {
            Given.BROKER: "defaults slow broad",
            Given.SECURED: "weighted tight canary lenient",
            Given.OPEN: "strict",
            Given.MUTUAL: "cluster",
            Given.BROKERS: "valued",
            None: "bare",
        },
        broker_used,
    ),
    *rows(
        "REDIS_URL",
        ALL,
        {
            Given.NODE: "defaults weighted canary strict lenient slow broad",
            Given.CLUSTER: "cluster tight",
            Given.DATABASE: "valued",
            None: "bare",
        },
        store_used,
    ),
    *rows("NAMESPACE", ALL, {Given.FRESH: _SERVED, None: "bare"}, namespaced),
    *rows(
        "LOG_LEVEL",
        ALL,
        {None: "defaults", "DEBUG": "tight", "INFO": "weighted", "WARNING": "valued",
         "ERROR": "slow"},
        logged,
    ),
    *rows(
        "METRICS_PORT",
        ("workers", "trainer"),
        {Given.PORT: "defaults weighted cluster valued canary strict lenient slow broad",
         "0": "tight", None: "bare"},
        metrics_served,
    ),
    *rows("METRICS_HOST", ("workers", "trainer"), {None: "defaults", "0.0.0.0": "valued"},
          metrics_host),
    # Nobody receives there, which the programs say.
    *rows("OTEL_EXPORTER_OTLP_ENDPOINT", ("workers", "api"),
          {None: "defaults", "http://127.0.0.1:9": "weighted"}, spans_sent),
)  # fmt: skip

WORKERS: Final = (
    *rows(
        "BARS_RETENTION_MINUTES",
        "workers",
        {None: "defaults bare", "1": "tight", "5": "cluster", "1440": "valued"},
        in_force(BARS),
    ),
    *rows("BARS_EXPIRE_DAYS", "workers", {None: "defaults", "1": "cluster"}, bars_expire),
    *rows("BARS_CLOSE_AFTER_SECONDS", "workers", {None: "defaults", "600": "weighted"},
          bars_closed_after),
    *rows("FLUSH_INTERVAL_S", "workers", {None: "defaults", "0.2": "weighted", "5": "slow"},
          bars_written_every),
    *rows("FLUSH_INTERVAL_S", "workers", {"0.2": _QUICK}),
    *rows("COUNTS_FLUSH_INTERVAL_S", "workers", {None: "defaults", "0.2": "weighted", "3": "slow"},
          counts_written_every),
    *rows("COUNTS_FLUSH_INTERVAL_S", "workers", {"0.2": _QUICK}),
    *rows(
        "AFFINITY",
        "workers",
        {None: "defaults bare", "binary": "cluster", "weighted": "weighted valued",
         "greatest": "canary lenient"},
        in_force(AFFINITIES, SIMILAR),
    ),
    *rows("HALF_LIFE_DAYS", "workers", {None: "weighted lenient", "14": "valued", "3650": "canary"},
          in_force(AFFINITIES, SIMILAR)),
    *rows(
        "HISTORY_CAP",
        "workers",
        {None: "defaults", "1": "slow", "2": "tight", "4": "cluster canary", "5000": "valued"},
        in_force(AFFINITIES, POPULAR),
    ),
    *rows("HISTORY_RETENTION_DAYS", "workers", {None: "lenient", "30": "strict", "36500": "tight"},
          away_taken_out),
    *rows(
        "USER_WEIGHT",
        "workers",
        {None: "defaults", "none": "cluster", "inverse-degree": "weighted tight",
         "value": "valued canary slow"},
        in_force(AFFINITIES, POPULAR),
    ),
    *rows("USER_WEIGHT_EXPONENT", "workers", {None: "weighted", "1": "valued", "0.1": "tight"},
          in_force(AFFINITIES, POPULAR)),
    *rows("TYPICAL_VALUE", "workers", {None: "canary", "100": "valued", "1e12": "slow"},
          in_force(AFFINITIES, POPULAR)),
    *(
        row
        for program in ("producers", "workers", "api")
        for row in rows("EARLIEST_EVENT_DATE", program,
                        {None: "weighted", "1970-01-01": "tight"}, early_refused)
    ),
    *rows("EVENT_WEIGHTS", "workers", {None: "lenient", WEIGHTS: "weighted"},
          in_force(AFFINITIES, SIMILAR)),
    *(
        row
        for program in ("producers", "api")
        for row in rows("EVENT_WEIGHTS", program, {None: "lenient", WEIGHTS: "weighted"},
                        type_taken)
    ),
    *rows("UNKNOWN_FIELDS", "workers",
          {None: "weighted", "take": "tight", "refuse": "cluster"}, unknown_field_refused),
    *rows("DEAD_LETTER_RATIO_MAX", "workers", {None: "lenient", "0.5": "strict"},
          bad_feed_stopped),
    *rows("GROUP_INSTANCE_ID", "workers", {None: "lenient", "worker-1": "canary"}, static_member),
    *rows("SESSION_TIMEOUT_S", "workers", {None: "lenient", "6": "slow", "30": "canary"},
          silent_given_up_after),
)  # fmt: skip

LISTS: Final = (
    *rows("TRAIN_EVERY_SECONDS", "trainer", {None: "defaults", "0.5": "weighted", "3600": "strict"},
          trained_every),
    *rows("TRAIN_EVERY_SECONDS", "trainer", {"0.5": "cluster valued tight canary lenient slow"}),
    *rows(
        "TRAINER_SETTINGS_FILE",
        "trainer",
        {None: "defaults",
         File("neighbors_per_item = 5\nUSER_KNN_RECOMMENDATIONS = 3\nuser_knn_k = 7\n"):
             "weighted"},
        in_force(SIMILAR, RECOMMENDED),
    ),
    *rows("ITEM_MODEL", "trainer", {None: "defaults broad"}, as_chosen),
    *rows(
        "ITEM_MODEL",
        "trainer",
        {
            "cosine": "weighted tight",
            "ease": "cluster canary lenient",
            "ordered": "valued strict",
        },
        in_force(SIMILAR),
    ),
    *rows("USER_MODEL", "trainer", {None: "defaults strict"}, as_chosen),
    *rows("USER_MODEL", "trainer", {"user-knn": "weighted valued lenient", "none": "cluster"},
          in_force(RECOMMENDED)),
    *rows("USER_MODEL", "trainer", {"user-knn": "tight canary"}),
    *rows("COUNTS_USER_WEIGHT_EXPONENT", "trainer",
          {None: "cluster", "0.7": "weighted", "1": "tight"}, in_force(SIMILAR)),
    *rows("COUNTS_HALF_LIFE_DAYS", "trainer", {None: "cluster", "30": "weighted"},
          in_force(SIMILAR)),
    *rows("COUNTS_USERS", "trainer", {None: "weighted", "30": "tight"}, in_force(SIMILAR)),
    *rows("FOLD_IN_ITEMS", "trainer", {None: "weighted", "2": "cluster"}, in_force(RECOMMENDED)),
    *rows("FOLD_IN_HALF_LIFE_DAYS", "trainer", {None: "cluster", "30": "weighted"},
          in_force(RECOMMENDED)),
    *rows("FOLD_IN_HALF_LIFE_ITEMS", "trainer", {None: "weighted", "1.5": "cluster"},
          in_force(RECOMMENDED)),
    # In the unit of G, which is a great number where affinities decay.
    *rows("COSINE_SHRINKAGE", "trainer", {None: "tight", "1e25": "weighted"}, in_force(SIMILAR)),
    *rows("COSINE_POPULARITY_DAMPING", "trainer", {None: "weighted", "1": "tight"},
          in_force(SIMILAR)),
    *rows("COSINE_POPULAR_REMOVED", "trainer", {None: "weighted", "2": "tight"}, in_force(SIMILAR)),
    *rows("EASE_REGULARIZATION", "trainer", {None: "cluster", "0.5": "canary"}, in_force(SIMILAR)),
    *rows("EASE_OWN_DAMPING", "trainer", {None: "canary", "0.4": "cluster"}, in_force(SIMILAR)),
    *rows("EASE_POPULARITY_DAMPING", "trainer", {None: "cluster", "0.2": "lenient"},
          in_force(SIMILAR)),
    *rows("ORDERED_BACKWARDS", "trainer", {None: "strict", "0.9": "valued"}, in_force(SIMILAR)),
    *rows("ORDERED_LAG_EXPONENT", "trainer", {None: "strict", "1": "valued"}, in_force(SIMILAR)),
    *rows("ORDERED_OWN_DAMPING", "trainer", {None: "strict", "0.4": "valued"}, in_force(SIMILAR)),
    *rows("ORDERED_POPULARITY_DAMPING", "trainer", {None: "strict", "0.5": "valued"},
          in_force(SIMILAR)),
    *rows("NEIGHBORS_PER_ITEM", "trainer", {None: "defaults", "1": "tight", "3": "cluster"},
          in_force(SIMILAR)),
    *rows("USER_KNN_K", "trainer", {None: "lenient", "1": "valued", "2": "weighted"},
          in_force(RECOMMENDED)),
    *rows("USER_KNN_METRIC", "trainer",
          {None: "lenient", "unit-length": "weighted", "raw": "valued"}, in_force(RECOMMENDED)),
    *rows("USER_KNN_RECOMMENDATIONS", "trainer", {None: "lenient", "1": "valued"},
          in_force(RECOMMENDED)),
    *rows("ACTIVE_USERS", "trainer", {None: "lenient", "0": "tight", "10": "weighted"},
          in_force(RECOMMENDED)),
    *rows("DIVERSITY", "trainer", {None: "lenient", "0.3": "weighted"}, named_in_models),
    *rows("EXPLORATION", "trainer", {None: "lenient", "0.1": "weighted"}, named_in_models),
    *rows("IMPRESSION_DISCOUNT", "trainer", {None: "lenient", "0.2": "weighted"}, named_in_models),
    *rows("POPULAR_ITEMS", "trainer", {None: "defaults", "1": "tight", "5": "cluster"},
          in_force(POPULAR)),
    *rows("POPULAR_HALF_LIFE_DAYS", "trainer", {None: "defaults", "0": "tight", "100": "weighted"},
          in_force(POPULAR)),
)  # fmt: skip

SELECTION: Final = (
    *rows("AUTO_ACCURACY_GIVEN_UP", "trainer", {None: "defaults", "0.3": "broad"},
          chosen_by_coverage),
)  # fmt: skip

PUBLICATION: Final = (
    *rows("KEEP_GENERATIONS", "trainer", {None: "lenient", "1": "strict", "2": "tight"},
          rolled_back),
    *rows("VARIANTS", "trainer",
          {None: "lenient", File("[few]\nneighbors_per_item = 1\n"): "canary"}, spread),
    *rows("CANARY_RULES", "trainer", {None: "lenient", File("share = 0.5\n"): "canary"},
          tried_out),
    *rows("QUALITY_INCONSISTENT_MAX", "trainer", {None: "tight", "0": "strict", "1": "lenient"},
          inconsistent_refused),
    *rows("QUALITY_ITEMS_KEPT_MIN", "trainer", {None: "tight", "1": "strict", "0": "lenient"},
          losses_refused),
    *rows("QUALITY_SINGLE_USER_MAX", "trainer", {None: "tight", "0": "strict", "1": "lenient"},
          single_users_reported),
    *rows("QUALITY_POPULARITY_SHIFT_MAX", "trainer",
          {None: "tight", "0": "strict", "100": "lenient"}, shift_reported),
)  # fmt: skip

OF_API: Final = (
    *rows("API_HOST", "api", {None: "defaults", "0.0.0.0": "valued"}, api_host),
    *rows("API_PORT", "api",
          {Given.PORT: "defaults weighted cluster valued canary strict lenient slow broad",
           "0": "tight", None: "bare"}, api_port),
    *rows("API_PRIVATE_HOST", "api", {None: "defaults", "0.0.0.0": "cluster"}, private_host),
    *rows("API_PRIVATE_PORT", "api", {None: "defaults", Given.PORT: "cluster"}, private_port),
    *rows("FORWARDED_ALLOW_IPS", "api", {None: "defaults", "10.0.0.0/8": "valued"},
          streams_bounded),
    *rows("API_HOSTS", "api",
          {None: "defaults", "shop.example, b.example": "weighted", "*": "lenient"},
          names_answered),
    *rows("API_CORS_ORIGINS", "api",
          {None: "defaults", "https://shop.example,http://b.example": "valued"}, origins_allowed),
    *rows("STREAMS_PER_CLIENT", "api", {None: "defaults", "2": "valued"}, streams_bounded),
    *rows("API_KEYS", "api", {None: "defaults", "k1": "valued", "k1, k2": "cluster"},
          key_needed),
    *rows("API_KEYS_FILE", "api", {None: "defaults", KEYS_FILE: "cluster"}, key_of_file_admitted),
    *rows("WRITE_LIMIT", "api",
          {None: "defaults", "1000/minute": "cluster", "100000/hour": "weighted"}, quota_kept),
)  # fmt: skip

OF_PRODUCERS: Final = (
    *rows("DELIVERY_TIMEOUT_S", "producers", {None: "defaults", "1": "weighted"}, gives_up_after),
)

MATRIX: Final[tuple[Row, ...]] = (
    *SHARED, *WORKERS, *LISTS, *SELECTION, *PUBLICATION, *OF_API, *OF_PRODUCERS,
)  # fmt: skip
