/// What one person, or one scene, is recognised with: as `edgeskel.runtime` has it.
protocol LiveRecogniser {
    /// Takes a frame at the recogniser's rate, which the segmenter has seen; an answer when one is due.
    mutating func push(_ frame: Frame, _ segmenter: Segmenter) throws -> Output?

    /// The answer for an action that has ended.
    mutating func last(_ stretch: Stretch) throws -> Output?
}

/// The stretch of motion so far every `hop` frames, and all of it when it has ended, fitted into the window.
struct SlidingWindow: LiveRecogniser {
    private let manifest: Manifest
    private let network: Network
    private var waiting = 0

    init(_ manifest: Manifest, _ network: Network) {
        self.manifest = manifest
        self.network = network
    }

    mutating func push(_ frame: Frame, _ segmenter: Segmenter) throws -> Output? {
        waiting += 1
        guard waiting >= manifest.window.hop, let stretch = segmenter.openStretch() else { return nil }
        waiting = 0
        return try last(stretch)
    }

    func last(_ stretch: Stretch) throws -> Output? {
        guard stretch.frames.contains(where: { $0.confidence.contains { $0 > 0 } }) else { return nil }
        return try network.run(fit(stretch.frames, manifest.window, joints: manifest.joints.count)).checked(manifest)
    }
}

/// Frames of any number in one window: the twin of `edgeskel.window.fit_window`. Fewer than S stay as they are, and the rest of the
/// window has confidence 0; more are resampled.
func fit(_ frames: [Frame], _ window: Window, joints size: Int) -> Input {
    var joints = [Float](repeating: 0, count: window.persons * window.frames * size * 3)
    var confidence = [Float](repeating: 0, count: window.persons * window.frames * size)
    let stretched = frames.count > window.frames
    for place in 0..<min(frames.count, window.frames) {
        let position = stretched ? middle(place, window.frames, frames.count) : Double(place)
        let before = stretched ? min(Int(position), frames.count - 2) : place
        let share = Float(position - Double(before))
        let earlier = frames[before]
        for index in 0..<window.persons * size {
            let to = (index / size * window.frames + place) * size + index % size
            if !stretched {
                confidence[to] = earlier.confidence[index]
                for axis in 0..<3 where confidence[to] > 0 { joints[3 * to + axis] = earlier.joints[3 * index + axis] }
                continue
            }
            let later = frames[before + 1]
            let weightBefore = (1 - share) * earlier.confidence[index]
            let weightAfter = share * later.confidence[index]
            confidence[to] = weightBefore + weightAfter
            for axis in 0..<3 where confidence[to] > 0 {
                let a = earlier.confidence[index] > 0 ? earlier.joints[3 * index + axis] : 0
                let b = later.confidence[index] > 0 ? later.joints[3 * index + axis] : 0
                joints[3 * to + axis] = (weightBefore * a + weightAfter * b) / max(confidence[to], 1e-9)
            }
        }
    }
    return Input(joints: joints, confidence: confidence)
}

/// Where place p of S lies among T frames: 0 is the first of them, T - 1 the last.
private func middle(_ place: Int, _ count: Int, _ frames: Int) -> Double {
    if count == 1 { return 0 }
    return place == count - 1 ? Double(frames - 1) : Double(place) * (Double(frames - 1) / Double(count - 1))
}

/// Steps through the frames of an action, from the moment of rest before it on: as `edgeskel.runtime` does.
/// Every action is seen by a network without a past. The moment before the motion is known to be one is caught up with two steps at a
/// time.
struct Streaming: LiveRecogniser {
    private static let kept = 16 // the end of an action is known half a second late

    private let manifest: Manifest
    private let network: StepNetwork
    private let form: StepForm
    private var stream: StreamState
    private var answers: [(time: Double, output: Output)] = []
    private var waiting: [Frame] = []
    private var began: Double?

    init(_ manifest: Manifest, _ network: StepNetwork) throws {
        guard let form = manifest.step else {
            throw BadBundle("the manifest does not say how its steps are fed ('step' is missing); export anew")
        }
        guard manifest.window.persons == 1 else {
            throw BadBundle("steps of \(manifest.window.persons) persons; expected 1: export anew")
        }
        self.manifest = manifest
        self.network = network
        self.form = form
        stream = StreamState(manifest, form)
    }

    mutating func push(_ frame: Frame, _ segmenter: Segmenter) throws -> Output? {
        guard segmenter.moving else { return nil }
        if segmenter.began == began {
            waiting.append(frame)
        } else {
            stream = StreamState(manifest, form)
            answers.removeAll()
            waiting = segmenter.openStretch()!.frames
            began = segmenter.began
        }
        return try catchUp(2 * form.frames)
    }

    mutating func last(_ stretch: Stretch) throws -> Output? {
        _ = try catchUp(waiting.count)
        return (answers.last { $0.time <= stretch.end } ?? answers.last)?.output
    }

    /// Steps through that many of the frames that wait; the newest answer, if there is one.
    private mutating func catchUp(_ limit: Int) throws -> Output? {
        var answer: Output?
        let next = Array(waiting.prefix(limit))
        for frame in next {
            guard let found = try stream.push(frame, network) else { continue }
            answer = found
            answers.append((frame.time, found))
            if answers.count > Self.kept { answers.removeFirst() }
        }
        waiting.removeFirst(next.count)
        return answer
    }
}

/// What is kept of one person between two frames: as `edgeskel.runtime.stepping` has it.
struct StreamState {
    private let manifest: Manifest
    private let frames: Int
    private let sizes: [Int]
    private var joints: [Float] = [] // of the step that is being filled
    private var confidence: [Float] = []
    private var state: [[Float]]
    private var filled = 0

    init(_ manifest: Manifest, _ form: StepForm) {
        self.manifest = manifest
        frames = form.frames
        sizes = form.states.map { $0.reduce(1, *) }
        state = sizes.map { [Float](repeating: 0, count: $0) }
    }

    /// Takes a frame of one person; the answer when it fills a step.
    mutating func push(_ frame: Frame, _ network: StepNetwork) throws -> Output? {
        joints += frame.joints
        confidence += frame.confidence
        filled += 1
        if filled < frames { return nil }
        let input = Input(joints: joints, confidence: confidence)
        joints.removeAll(keepingCapacity: true)
        confidence.removeAll(keepingCapacity: true)
        filled = 0
        let answer = try network.step(input, state)
        let seen = answer.state.map(\.count)
        guard seen == sizes else {
            throw BadBundle("a step gave a state of \(seen) values; expected \(sizes): run edgeskel verify on the bundle")
        }
        do {
            _ = try answer.output.checked(manifest)
        } catch {
            state = sizes.map { [Float](repeating: 0, count: $0) } // a state once spoilt stays so
            throw error
        }
        state = answer.state
        return answer.output
    }
}
