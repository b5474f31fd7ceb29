package edgeskel

/** The label of what is none of the actions that the recogniser learned. */
const val UNKNOWN = "unknown"

/**
 * When a recognition counts.
 *
 * @param probability calibrated, under which the answer is [UNKNOWN]; null takes the bundle's own threshold.
 * @param smoothing share of the earlier answers in the present one, 0 to 1; the default is that of `edgeskel.runtime.EventConfig`.
 */
class Thresholds(val probability: Double? = null, val smoothing: Float = 0.5f) {
    init {
        if (!(probability == null || probability >= 0 && probability <= 1) || !(smoothing >= 0f && smoothing <= 1f)) {
            throw BadInput("a threshold of $probability and a smoothing of $smoothing; expected 0 to 1")
        }
    }
}

/**
 * From the network's answers to labels: calibrated, smoothed over the answers, unknown under the threshold. It computes what
 * `calibrated` and `Naming` of `edgeskel.runtime.events` do, to the bit.
 */
internal class Naming(private val labels: List<String>, private val certainty: Certainty, thresholds: Thresholds) {
    private val threshold = thresholds.probability ?: certainty.threshold
    private val kept = thresholds.smoothing
    private var smooth: FloatArray? = null

    /** The next answer is about somebody else, or comes after nobody was there. */
    fun clear() {
        smooth = null
    }

    /** @param time seconds, the end of what the network saw. */
    fun push(output: Output, time: Double): Recognition {
        val sure = calibrated(output.probabilities, certainty.temperature)
        val earlier = smooth
        val present = if (earlier == null) sure else FloatArray(sure.size) { kept * earlier[it] + (1 - kept) * sure[it] }
        smooth = present
        var best = 0
        for (index in present.indices) {
            if (present[index] > present[best]) best = index
        }
        val label = if (present[best].toDouble() >= threshold) labels[best] else UNKNOWN
        return Recognition(label, present[best], present, output.embedding, time)
    }
}

/** As if the logits had been divided by the temperature (Guo et al. 2017, arXiv 1706.04599). */
internal fun calibrated(probabilities: FloatArray, temperature: Double): FloatArray {
    if (temperature == 1.0) return probabilities
    val logits = DoubleArray(probabilities.size) { Math.log(Math.max(probabilities[it], LEAST).toDouble()) }
    var top = logits[0]
    for (logit in logits) top = Math.max(top, logit)
    val powers = DoubleArray(logits.size) { Math.exp((logits[it] - top) / temperature) }
    val total = powers.sum()
    return FloatArray(powers.size) { (powers[it] / total).toFloat() }
}

private const val LEAST = 1e-30f // the logarithm of 0 is none
