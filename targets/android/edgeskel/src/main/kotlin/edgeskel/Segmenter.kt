package edgeskel

/** Frames in which somebody moved, oldest first, with the margin on both sides. */
internal class Stretch(val frames: List<Frame>) {
    val start get() = frames.first().time
    val end get() = frames.last().time
}

/** Cuts frames into stretches of motion, with hysteresis: the twin of `edgeskel.runtime.motion.Segmenter`. */
internal class Segmenter(joints: List<String>, rateHz: Double, private val config: SegmenterConfig, persons: Int) {
    private val motion = MotionEnergy(joints, rateHz, persons)
    private val slackS = 0.5 / rateHz // so that a duration of whole frames is not decided by the rounding of time stamps
    private val keptS = config.longestS + config.stillS + 2 * config.marginS + 2 * motion.delayS
    private val mostFrames = Math.rint(keptS * rateHz).toInt() + 1
    private val mostEnergies = Math.max(1, Math.rint(SegmenterConfig.NOISE_S * rateHz).toInt())
    private val least = Math.max(1, Math.rint(SegmenterConfig.LEAST_NOISE_S * rateHz).toInt())
    private val judgeEvery = Math.max(1, Math.rint(rateHz / 3).toInt()) // frames: noise changes slowly
    private val frames = ArrayList<Frame>()
    private val energies = java.util.ArrayDeque<Double>()
    private var unjudged = 0
    private var noise = 0.0 // energy of a still body before this source, as judged so far
    private var moved = 0.0 // when it last moved

    /** When the motion of the open stretch began; null while none is open. */
    var began: Double? = null
        private set
    val moving get() = began != null

    /** Takes a frame; the stretch that it ends, if it ends one. */
    fun push(frame: Frame): Stretch? {
        frames.add(frame)
        if (frames.size > mostFrames) frames.removeAt(0)
        val energy = motion.push(frame)
        judgeNoise(energy)
        val moment = frame.time - motion.delayS
        val start = began
        if (start == null) {
            if (energy > Math.max(config.start, SegmenterConfig.START_OVER_NOISE * noise)) {
                began = moment
                moved = moment
            }
            return null
        }
        if (energy > Math.max(config.stop, SegmenterConfig.STOP_OVER_NOISE * noise)) moved = moment
        val over = Math.max(moment - moved - config.stillS, moment - start - config.longestS)
        return if (over > -slackS) close() else null
    }

    private fun judgeNoise(energy: Double) {
        if (energy == 0.0) return // nobody, which is no noise
        energies.add(energy)
        if (energies.size > mostEnergies) energies.removeFirst()
        unjudged += 1
        if (unjudged >= judgeEvery && energies.size >= least) {
            unjudged = 0
            noise = Math.min(tenth(energies.sorted()), SegmenterConfig.MOST_NOISE)
        }
    }

    /** The value that a tenth of them lie under, interpolated. */
    private fun tenth(sorted: List<Double>): Double {
        val place = 0.1 * (sorted.size - 1)
        val below = place.toInt()
        val above = sorted[Math.min(below + 1, sorted.size - 1)]
        return sorted[below] + (above - sorted[below]) * (place - below)
    }

    /** What was seen so far of the stretch that is open. */
    fun openStretch(): Stretch? = began?.let { cut(it, frames.last().time) }

    /** The source has ended: the stretch that was open, if it was long enough. */
    fun finish(): Stretch? = if (began == null) null else close()

    private fun close(): Stretch? {
        val start = began!!
        began = null
        return if (moved - start < config.shortestS - slackS) null else cut(start, moved)
    }

    private fun cut(start: Double, end: Double): Stretch {
        val margin = config.marginS + slackS
        return Stretch(frames.filter { start - margin <= it.time && it.time <= end + margin })
    }
}
