/// Seconds after which a lost person is forgotten.
let patienceS = 1.0

typealias Place = SIMD3<Double>

private func distance(_ a: Place, _ b: Place) -> Double {
    let apart = a - b
    return (apart.x * apart.x + apart.y * apart.y + apart.z * apart.z).squareRoot()
}

/// Where somebody was lately, oldest first; the first is a tenth of a second old once so much was seen.
struct Trail {
    private static let speed = 4.0 // m/s: nobody's pelvis moves faster
    private static let slack = 0.3 // m: what a noisy depth camera may add
    private static let lag = 0.1 // s over which a body's path is judged, so that who is who does not depend on the source's rate
    private static let mark = 1 / 30.0 // s between the places that are kept of that time

    private var marks: [(time: Double, place: Place)] = []

    var last: (time: Double, place: Place) { marks[marks.count - 1] }

    /// Whether the body here can be the one that left this trail.
    func reaches(_ time: Double, _ here: Place) -> Bool {
        let reach = Self.slack + Self.speed * max(Self.lag, time - last.time)
        let before = marks.last { $0.time <= time - Self.lag } ?? marks[0]
        return distance(here, before.place) <= reach
    }

    mutating func extend(_ time: Double, _ here: Place) {
        if let latest = marks.last, time - latest.time > Self.lag { // found again: how far it is was judged by the time of the loss
            marks.removeAll()
        }
        if marks.count > 1, marks[marks.count - 1].time - marks[marks.count - 2].time < Self.mark / 2 { marks.removeLast() }
        marks.append((time, here))
        while marks.count > 1, marks[1].time <= time - Self.lag { marks.removeFirst() }
    }
}

/// What `Tracks` and `Slots` share: bodies, where each stands, and who continues which trail.
struct Bodies {
    /// Index in the frame and place, of everybody who is seen.
    let places: [(index: Int, place: Place)]
    private let frame: Frame
    private let joints: Int

    init(_ frame: Frame, joints: Int, hips: [Int]) {
        self.frame = frame
        self.joints = joints
        places = (0..<frame.confidence.count / joints).compactMap { person in
            let all = (0..<joints).filter { frame.confidence[person * joints + $0] > 0 }
            if all.isEmpty { return nil }
            let seen = hips.filter(all.contains)
            let used = seen.isEmpty ? all : seen // the hips that are seen, else all joints that are
            var sum = Place(0, 0, 0)
            for joint in used {
                let at = 3 * (person * joints + joint)
                sum += Place(Double(frame.joints[at]), Double(frame.joints[at + 1]), Double(frame.joints[at + 2]))
            }
            return (person, sum / Double(used.count))
        }
    }

    /// Index -> who, of every body that continues a trail, the nearest first, each at most once.
    func nearest(_ trails: [Int: Trail], _ time: Double) -> [Int: Int] {
        var pairs: [(apart: Double, who: Int, index: Int, place: Place)] = []
        for (index, here) in places {
            for (who, trail) in trails { pairs.append((distance(here, trail.last.place), who, index, here)) }
        }
        pairs.sort { ($0.apart, $0.who, $0.index) < ($1.apart, $1.who, $1.index) }
        var found: [Int: Int] = [:]
        var known: Set<Int> = []
        for pair in pairs where found[pair.index] == nil && !known.contains(pair.who) && trails[pair.who]!.reaches(time, pair.place) {
            found[pair.index] = pair.who
            known.insert(pair.who)
        }
        return found
    }

    /// Those who continue no trail, the best seen first.
    func waiting(_ taken: [Int: Int]) -> [Int] {
        let left = places.map(\.index).filter { taken[$0] == nil }
        let trust = left.map { person in frame.confidence[person * joints..<(person + 1) * joints].reduce(0) { $0 + Double($1) } }
        return zip(left, trust).sorted { ($1.1, $0.0) < ($0.1, $1.0) }.map(\.0)
    }

    func place(_ index: Int) -> Place { places.first { $0.index == index }!.place }

    static func hips(_ joints: [String]) -> [Int] {
        ["left_hip", "right_hip", "pelvis"].compactMap { joints.firstIndex(of: $0) }
    }
}

/// Numbers for persons, who may come in any order: the twin of `edgeskel.runtime.tracking.Tracks`.
struct Tracks {
    private let maxPersons: Int
    private let size: Int
    private let hips: [Int]
    private var next = 0
    private var trails: [Int: Trail] = [:]

    init(maxPersons: Int, joints: [String]) {
        self.maxPersons = maxPersons
        size = joints.count
        hips = Bodies.hips(joints)
    }

    /// Nobody is known; numbers that were given are not given again.
    mutating func startAfresh() {
        trails.removeAll()
    }

    /// Number and index in the frame, of everybody who is seen in it and tracked; the lowest number first.
    mutating func assign(_ frame: Frame) -> [(number: Int, index: Int)] {
        let bodies = Bodies(frame, joints: size, hips: hips)
        let pairs = bodies.nearest(trails, frame.time)
        var found = pairs.map { (number: $0.value, index: $0.key) }
        for index in bodies.waiting(pairs) where trails.count < maxPersons {
            found.append((next, index))
            trails[next] = Trail()
            next += 1
        }
        for (number, index) in found { trails[number]!.extend(frame.time, bodies.place(index)) }
        return found.sorted { $0.number < $1.number }
    }

    /// Forgets whoever was not seen for longer than a second before now; their numbers, the lowest first.
    mutating func gone(_ now: Double) -> [Int] {
        let numbers = trails.filter { now - $0.value.last.time > patienceS }.keys.sorted()
        for number in numbers { trails[number] = nil }
        return numbers
    }
}

/// Persons in M slots, for a recogniser of several: the twin of `edgeskel.runtime.tracking.Slots`.
struct Slots {
    private let slots: Int
    private let size: Int
    private let hips: [Int]
    private var trails: [Int: Trail] = [:]

    init(_ slots: Int, joints: [String]) {
        self.slots = slots
        size = joints.count
        hips = Bodies.hips(joints)
    }

    /// A frame of M persons, confidence 0 in empty slots, and where somebody new stands.
    mutating func assign(_ frame: Frame) -> (frame: Frame, fresh: [Bool]) {
        let bodies = Bodies(frame, joints: size, hips: hips)
        var joints = [Float](repeating: 0, count: slots * size * 3)
        var confidence = [Float](repeating: 0, count: slots * size)
        var fresh = [Bool](repeating: false, count: slots)
        trails = trails.filter { frame.time - $0.value.last.time <= patienceS }
        var pairs = bodies.nearest(trails, frame.time)
        let free = (0..<slots).filter { trails[$0] == nil }
        for (index, slot) in zip(bodies.waiting(pairs), free) {
            pairs[index] = slot
            fresh[slot] = true
            trails[slot] = Trail()
        }
        for (index, slot) in pairs {
            let one = frame.person(index, joints: size)
            joints.replaceSubrange(3 * slot * size..<3 * (slot + 1) * size, with: one.joints)
            confidence.replaceSubrange(slot * size..<(slot + 1) * size, with: one.confidence)
            trails[slot]!.extend(frame.time, bodies.place(index))
        }
        return (Frame(time: frame.time, joints: joints, confidence: confidence), fresh)
    }
}
