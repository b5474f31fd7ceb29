package edgeskel

/** A label and the calibrated probability of the likeliest class. */
internal class Prediction(val label: String, val confidence: Float)

/** The name of the action that goes on, with hysteresis: as `edgeskel.runtime.events` has it. */
internal class ActionLabeller(private val labels: List<String>, private val config: EventConfig) {
    /** Of the action that goes on, once it was named. */
    var label: String? = null
        private set

    /** K, calibrated and smoothed over the answers to the action that goes on. */
    var smooth: FloatArray? = null
        private set
    private var leader = -1
    private var agreed = 0

    /** The next action is another one. */
    fun clear() {
        label = null
        smooth = null
        leader = -1
        agreed = 0
    }

    /** Takes an answer, K calibrated; the label and its probability when they are new. */
    fun push(probabilities: FloatArray): Prediction? {
        val kept = config.smoothing.toFloat()
        val earlier = smooth
        val present = if (earlier == null) probabilities else
            FloatArray(probabilities.size) { kept * earlier[it] + (1 - kept) * probabilities[it] }
        smooth = present
        val first = largest(present)
        if (present[first].toDouble() < config.begin) {
            agreed = 0
            return null
        }
        agreed = if (first == leader) agreed + 1 else 1
        leader = first
        if (agreed < config.confirm || labels[first] == label) return null
        label = labels[first]
        return Prediction(labels[first], present[first])
    }

    /** What an action was that ended with this answer, K calibrated. */
    fun last(probabilities: FloatArray): Prediction {
        val best = largest(probabilities)
        return Prediction(if (probabilities[best].toDouble() >= config.threshold) labels[best] else UNKNOWN, probabilities[best])
    }

    private fun largest(values: FloatArray): Int {
        var best = 0
        for (index in values.indices) {
            if (values[index] > values[best]) best = index
        }
        return best
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
