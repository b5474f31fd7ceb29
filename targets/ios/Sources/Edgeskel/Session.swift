/// Live frames in, events out: the twin of `edgeskel.runtime.Session.step`, which docs/live.md specifies. Not for several threads at once.
///
/// Frames may come at any rate, with jitter and pauses, with any number of persons in any order. What is wrong with a frame never ends
/// the session; it is counted in `refused`.
public final class Session {
    private static let mostPersons = 64 // in one frame, beyond which it is none
    private static let farthest: Float = 1e6 // metres

    public let manifest: Manifest
    public let config: EventConfig
    /// What is known of each person who is followed, by number.
    public private(set) var persons: [Int: PersonState] = [:]
    private let maxPersons: Int
    private let recogniser: () throws -> LiveRecogniser
    private var arrivals = Arrivals()
    private var tracks: Tracks
    private var slots: Slots
    private var now = 0.0

    private init(_ manifest: Manifest, _ config: EventConfig?, _ maxPersons: Int,
                 _ recogniser: @escaping () throws -> LiveRecogniser) throws {
        _ = try recogniser() // refuses now what it would refuse with the first person
        self.manifest = manifest
        self.config = try config ?? manifest.events()
        self.maxPersons = maxPersons
        self.recogniser = recogniser
        tracks = Tracks(maxPersons: maxPersons, joints: manifest.joints)
        slots = Slots(manifest.window.persons, joints: manifest.joints)
    }

    /// Recognises the motion so far again and again. `config` nil is what the bundle says; `maxPersons` are followed at a time, where the
    /// recogniser sees one at a time.
    public convenience init(_ manifest: Manifest, _ network: Network, config: EventConfig? = nil, maxPersons: Int = 4) throws {
        try self.init(manifest, config, maxPersons) { SlidingWindow(manifest, network) }
    }

    /// Recognises frame by frame. Throws `BadBundle` where the manifest does not say how steps are fed.
    public convenience init(_ manifest: Manifest, stepping network: StepNetwork, config: EventConfig? = nil, maxPersons: Int = 4) throws {
        try self.init(manifest, config, maxPersons) { try Streaming(manifest, network) }
    }

    /// What was not taken since the start, counted by the reason.
    public var refused: [String: Int] { arrivals.refused }

    /// Forgets everything: a source starts anew, its clock may start anew too.
    public func reset() {
        arrivals = Arrivals()
        tracks = Tracks(maxPersons: maxPersons, joints: manifest.joints)
        slots = Slots(manifest.window.persons, joints: manifest.joints)
        persons.removeAll()
        now = 0
    }

    /// Takes a frame; what it brings to light, which mostly is nothing. Throws `BadBundle` when the network's answer is none.
    public func step(_ frame: Frame) throws -> [Event] {
        guard let checked = checked(frame) else { return [] }
        var events: [Event] = []
        for (taken, jumped) in arrivals.push(checked) {
            if jumped || taken.time - now > patienceS { // nobody is known who was there before
                events += try finish(jumped ? now : taken.time)
                tracks.startAfresh()
                slots = Slots(manifest.window.persons, joints: manifest.joints)
                persons.removeAll()
            }
            now = taken.time
            events += try manifest.window.persons > 1 ? together(taken) : each(taken)
        }
        return events
    }

    /// The source has ended: the actions that were going on.
    public func finish() throws -> [Event] {
        try finish(now)
    }

    private func finish(_ time: Double) throws -> [Event] {
        try persons.keys.sorted().flatMap { try persons[$0]!.finish(time) }
    }

    private func each(_ frame: Frame) throws -> [Event] {
        var events: [Event] = []
        for number in tracks.gone(frame.time) {
            if let gone = persons.removeValue(forKey: number) { events += try gone.finish(frame.time) }
        }
        for (number, index) in tracks.assign(frame) {
            events += try person(number).push(frame.person(index, joints: manifest.joints.count), nil)
        }
        return events
    }

    private func together(_ frame: Frame) throws -> [Event] {
        let placed = slots.assign(frame)
        return try person(0).push(placed.frame, placed.fresh)
    }

    private func person(_ number: Int) throws -> PersonState {
        if let known = persons[number] { return known }
        let fresh = PersonState(number, manifest, try recogniser(), config)
        persons[number] = fresh
        return fresh
    }

    /// The frame with the values that claim to be seen and are none taken out; nil where it is no frame at all.
    private func checked(_ frame: Frame) -> Frame? {
        let size = manifest.joints.count
        if frame.joints.count / (3 * size) > Self.mostPersons {
            arrivals.refuse("more than \(Self.mostPersons) persons")
            return nil
        }
        if frame.joints.count != 3 * frame.confidence.count {
            arrivals.refuse("joints and confidence do not fit")
            return nil
        }
        if frame.confidence.count % size != 0 {
            arrivals.refuse("another number of joints")
            return nil
        }
        var joints = frame.joints
        var confidence = frame.confidence
        for joint in confidence.indices where confidence[joint] != 0 {
            let place = frame.joints[3 * joint..<3 * joint + 3]
            let near = place.allSatisfy { abs($0) <= Self.farthest } // false for NaN
            if near, confidence[joint] >= 0, confidence[joint] <= 1 { continue }
            arrivals.refuse(!near && place.allSatisfy(\.isFinite) ? "joint more than 1000 km away" : "joint that is not finite")
            joints.replaceSubrange(3 * joint..<3 * joint + 3, with: [0, 0, 0])
            confidence[joint] = 0
        }
        return Frame(time: frame.time, joints: joints, confidence: confidence)
    }
}

/// What one person does; for a recogniser of several persons, what they do together.
public final class PersonState {
    public let number: Int
    /// D, of the latest answer: what new actions are learned from.
    public private(set) var embedding: [Float]?
    private let config: EventConfig
    private var resampler: Resampler
    private var segmenter: Segmenter
    private var recogniser: LiveRecogniser
    private var labeller: ActionLabeller
    private var began: Double? // when the action began that goes on and was named

    init(_ number: Int, _ manifest: Manifest, _ recogniser: LiveRecogniser, _ config: EventConfig) {
        let window = manifest.window
        self.number = number
        self.recogniser = recogniser
        self.config = config
        resampler = Resampler(rateHz: window.rateHz, persons: window.persons, joints: manifest.joints.count)
        segmenter = Segmenter(manifest.joints, rateHz: window.rateHz, config: config.segmenter, persons: window.persons)
        labeller = ActionLabeller(manifest.labels, config)
    }

    /// Whether the person moves.
    public var moving: Bool { segmenter.moving }

    /// What the person does, once it was named; nil before, and in rest.
    public var label: String? { labeller.label }

    /// K, calibrated and smoothed over the answers to the action that goes on; nil in rest.
    public var probabilities: [Float]? { labeller.smooth }

    func push(_ frame: Frame, _ replaced: [Bool]?) throws -> [Event] {
        var events: [Event] = []
        for settled in resampler.push(frame, replaced: replaced) {
            let stretch = segmenter.push(settled)
            let answer = try recogniser.push(settled, segmenter)
            if let stretch {
                events += try end(stretch, frame.time)
            } else if !segmenter.moving {
                events += nothing(frame.time)
            } else if let answer {
                events += goOn(answer, frame.time)
            }
        }
        return events
    }

    /// The person has gone, or the source has ended.
    func finish(_ time: Double) throws -> [Event] {
        guard let stretch = segmenter.finish() else { return nothing(time) }
        return try end(stretch, time)
    }

    private func goOn(_ answer: Output, _ time: Double) -> [Event] {
        embedding = answer.embedding
        let named = labeller.push(calibrated(answer.probabilities, config.temperature))
        guard let named, let stretch = segmenter.openStretch() else { return [] }
        let kind: Event.Kind = began == nil ? .began : .changed
        began = stretch.start
        return [event(kind, named, stretch.start, nil, time)]
    }

    private func end(_ stretch: Stretch, _ time: Double) throws -> [Event] {
        let answer = try recogniser.last(stretch)
        labeller.clear()
        began = nil
        guard let answer else { return [] }
        embedding = answer.embedding
        let named = labeller.last(calibrated(answer.probabilities, config.temperature))
        return [event(.ended, named, stretch.start, stretch.end, time)]
    }

    /// The motion was a twitch; what was said of it is taken back.
    private func nothing(_ time: Double) -> [Event] {
        let start = began
        began = nil
        labeller.clear()
        return start.map { [event(.ended, Prediction(label: Event.unknown, confidence: 0), $0, time, time)] } ?? []
    }

    private func event(_ kind: Event.Kind, _ named: Prediction, _ start: Double, _ end: Double?, _ time: Double) -> Event {
        Event(kind: kind, person: number, label: named.label, confidence: named.confidence, start: start, end: end, time: time)
    }
}
