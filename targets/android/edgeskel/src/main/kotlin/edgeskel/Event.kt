package edgeskel

/** The label of an action that is none of those the recogniser learned. */
const val UNKNOWN = "unknown"

/** What is known anew of an action. */
enum class EventKind {
    /** It goes on, and this is what it looks like. */
    BEGAN,

    /** It goes on, and looks like something else now. */
    CHANGED,

    /** It has ended, and this is what it was; the only event of an action that nothing was known of before. */
    ENDED
}

/**
 * Something that is known about an action; times in seconds on the source's clock.
 *
 * @param person the number of who does it: kept while in sight, never given twice.
 * @param label what; [UNKNOWN] where it is none of the known ones.
 * @param confidence calibrated probability of the likeliest class.
 * @param end null while it goes on.
 * @param time of the frame that brought the event.
 */
class Event(
    val kind: EventKind,
    val person: Int,
    val label: String,
    val confidence: Float,
    val start: Double,
    val end: Double?,
    val time: Double
)

/**
 * When scores become events; [Manifest.events] has what the bundle says. The defaults are those of `edgeskel.runtime.EventConfig`.
 *
 * @param temperature the logits are divided by it.
 * @param threshold calibrated probability under which an ended action is [UNKNOWN].
 * @param begin calibrated probability from which an action that goes on is named.
 * @param confirm answers that must agree before an action that goes on is named, or named anew.
 * @param smoothing share of the earlier answers in each.
 * @param segmenter when a body counts as moving.
 */
class EventConfig(
    val temperature: Double = 1.0,
    val threshold: Double = 0.5,
    val begin: Double = 0.7,
    val confirm: Int = 2,
    val smoothing: Double = 0.5,
    val segmenter: SegmenterConfig = SegmenterConfig()
) {
    init {
        val shares = listOf(threshold, begin, smoothing)
        if (!shares.all { it >= 0 && it <= 1 } || !(temperature > 0 && temperature < Double.POSITIVE_INFINITY) || confirm < 1) {
            throw BadInput("a threshold of $threshold, begin $begin, smoothing $smoothing (expected 0 to 1), a temperature of " +
                "$temperature (expected above 0), confirm $confirm (expected at least 1)")
        }
    }
}

/** When a body counts as moving; see `edgeskel.runtime.SegmenterConfig`. Speeds are torso lengths per second. */
class SegmenterConfig(
    val start: Double = 0.8,
    val stop: Double = 0.35,
    val stillS: Double = 0.3,
    val longestS: Double = 6.0,
    val shortestS: Double = 0.5,
    val marginS: Double = 0.3
) {
    internal companion object {
        const val START_OVER_NOISE = 2.5
        const val STOP_OVER_NOISE = 1.5
        const val NOISE_S = 20.0
        const val LEAST_NOISE_S = 2.0
        const val MOST_NOISE = 0.8
    }
}
