<?php
// Writes the pages of the wiki that mediawiki.sh sets up: `fill` once, `change` for what a later crawl must find.
// `readers` prints which articles the wiki lets each of its users read.
// The name of the wiki's settings is in MW_CONFIG_FILE.

use MediaWiki\MediaWikiServices;
use MediaWiki\Revision\SlotRecord;
use Wikimedia\Timestamp\ConvertibleTimestamp;

require_once '/usr/share/mediawiki/maintenance/Maintenance.php';

class Pages extends Maintenance {
	/** @var User[] */
	private array $authors = [];

	public function __construct() {
		parent::__construct();
		$this->addArg( 'what', 'fill, change or readers' );
	}

	public function execute() {
		// Their e-mail addresses are kept to themselves: the API never shows them.
		foreach ( [ 'Ada', 'Grace', 'Linus' ] as $name ) {
			$this->authors[] = User::newFromName( $name )->getId()
				? User::newFromName( $name )
				: User::createNew( $name, [ 'email' => strtolower( $name ) . '@example.com', 'real_name' => "$name Example" ] );
		}
		[ 'fill' => fn () => $this->fill(), 'change' => fn () => $this->change(), 'readers' => fn () => $this->readers() ]
			[$this->getArg( 0 )]();
	}

	private function fill() {
		// Linus is in no group of its own.
		foreach ( [ [ 0, 'staff' ], [ 1, 'staff' ], [ 1, 'finance' ] ] as [ $who, $group ] ) {
			$this->groups()->addUserToGroup( $this->authors[$who], $group );
		}
		// Two hours lie between a page and the next, from a day long ago, so that each run is the same.
		$clock = strtotime( '2024-01-01T08:00:00Z' );
		$at = static function () use ( &$clock ) {
			$clock += 7200;
			ConvertibleTimestamp::setFakeTime( $clock );
		};
		$areas = [ 'Engineering', 'Finance', 'People', 'Sales', 'Travel' ];
		for ( $n = 1; $n <= 105; $n++ ) {
			$area = $areas[$n % 5];
			$text = "'''$area guide $n''' says how the $area team does step $n.\n\n"
				. "== What to do ==\n* Ask for the form of step $n.\n* Sign it.\n* See [[$area guide " . ( $n > 5 ? $n - 5 : $n )
				. "]].\n\n== Who answers ==\n{| class=\"wikitable\"\n! Question !! Person\n|-\n| Step $n || Ada\n|}\n\n"
				. "[[Category:$area]]\n";
			if ( $n % 20 === 0 ) {
				$text .= "[[Category:Restricted to staff]]\n";
			}
			$at();
			$this->write( "$area guide $n", $text, $n );
			if ( $n % 4 === 0 ) {
				$at();
				$this->write( "$area guide $n", str_replace( 'Sign it.', 'Sign it twice.', $text ), $n + 1 );
			}
		}
		foreach ( [
			'Überblick – 東京オフィス' => "Das Büro in Tōkyō (東京). Öffnungszeiten: 9–17 Uhr.\n[[Category:Travel]]",
			'Q&A: what\'s "50 % & more"?' => "A title that must be escaped.\n[[Category:Finance]]",
			'C++/Coding style v1.2' => "A subpage whose name has a dot and plus signs.\n<pre>if (a < b && c) {}</pre>\n[[Category:Engineering]]",
			'Old name of the travel guide' => '#REDIRECT [[Travel guide 4]]',
			'Empty page' => '',
			'Talk:Travel guide 4' => "Is this still true? ~~~~",
			'Staff:Salaries' => "Salary bands.\n[[Category:Restricted to staff]]",
			'Staff:Parking' => "Where staff parks.\n[[Category:Restricted to staff]]",
			'Staff:Keys' => "Who has which key.\n[[Category:Restricted to staff]] [[Category:Restricted to finance]]",
			'Board:Minutes' => "What the board decided.\n[[Category:Restricted to board]]",
			'Board:Plans' => "What the board plans.\n[[Category:Restricted to board]]",
			'Category:Restricted to staff' => 'Only staff may find these pages.',
			'Template:Notice' => "'''Notice:''' {{{1}}}",
		] as $title => $text ) {
			$at();
			$this->write( $title, $text, strlen( $title ) );
		}
		// About 200 KB.
		$long = "{{Notice|this page is long}}\n";
		for ( $n = 1; strlen( $long ) < 200 * 1024; $n++ ) {
			$long .= "== Section $n ==\nParagraph $n of the long page, which says again what section $n is about, in some more words.\n\n";
		}
		$at();
		$this->write( 'Long page', $long, 0 );
		$at();
		$this->write( 'Closed office', 'This office was closed.', 1 );
		$at();
		$this->delete( 'Closed office' );
		// A page that only admins may edit.
		$at();
		$page = $this->page( 'Finance guide 1' );
		$no = false;
		$page->doUpdateRestrictions( [ 'edit' => 'sysop' ], [ 'edit' => 'infinity' ], $no, 'Approved text', $this->admin() );
		$this->settle();
	}

	private function change() {
		$note = 'Changed at ' . gmdate( 'c' ) . ".\n";
		foreach ( [ 'Finance guide 1', 'Überblick – 東京オフィス', 'Staff:Parking' ] as $n => $title ) {
			$this->write( $title, $this->text( $title ) . "\n\n$note", $n );
		}
		// This one became public, which is a change of access too.
		$this->write( 'Engineering guide 20', str_replace( '[[Category:Restricted to staff]]', '', $this->text( 'Engineering guide 20' ) ), 1 );
		$this->write( 'New page one', "Made later. $note\n[[Category:Sales]]", 1 );
		$this->write( 'New page two', "Made later, too. $note\n[[Category:Restricted to staff]]", 2 );
		$this->delete( 'Sales guide 3' );
		$this->groups()->removeUserFromGroup( $this->authors[1], 'staff' );
		$this->groups()->addUserToGroup( $this->authors[2], 'staff' );
		// Its id stays, and a redirect with the old name and a new id takes its place.
		$to = Title::newFromText( 'Travel guide nine' );
		if ( !$to->exists() ) {
			$move = MediaWikiServices::getInstance()->getMovePageFactory()
				->newMovePage( Title::newFromText( 'Travel guide 9' ), $to );
			$this->must( $move->move( $this->admin(), 'A better name', true ) );
		}
		$this->settle();
	}

	private function readers() {
		$services = MediaWikiServices::getInstance();
		$readers = [];
		$pages = $services->getPageStore()->newSelectQueryBuilder()->whereNamespace( NS_MAIN )->fetchPageRecords();
		$pages = iterator_to_array( $pages );
		foreach ( [ ...$this->authors, $this->admin() ] as $user ) {
			$reads = static fn ( $page ) => $services->getPermissionManager()->userCan( 'read', $user, $page );
			$read = array_filter( $pages, static fn ( $page ) => !$page->isRedirect() && $reads( Title::castFromPageIdentity( $page ) ) );
			$readers[$user->getName()] = array_values( array_map( static fn ( $page ) => (string)$page->getId(), $read ) );
		}
		$this->output( json_encode( $readers ) . "\n" );
	}

	private function groups(): MediaWiki\User\UserGroupManager {
		return MediaWikiServices::getInstance()->getUserGroupManager();
	}

	private function admin(): User {
		return User::newFromName( 'admin' );
	}

	private function page( string $title ): WikiPage {
		return MediaWikiServices::getInstance()->getWikiPageFactory()->newFromTitle( Title::newFromText( $title ) );
	}

	private function text( string $title ): string {
		$content = $this->page( $title )->getContent();
		return $content ? $content->getText() : '';
	}

	private function write( string $title, string $text, int $author ) {
		$updater = $this->page( $title )->newPageUpdater( $this->authors[$author % 3] );
		$updater->setContent( SlotRecord::MAIN, new WikitextContent( $text ) );
		$updater->saveRevision( CommentStoreComment::newUnsavedComment( 'Written for a test' ), EDIT_INTERNAL );
		$this->must( $updater->getStatus() );
	}

	private function delete( string $title ) {
		$page = $this->page( $title );
		if ( $page->exists() ) {
			$this->must( MediaWikiServices::getInstance()->getDeletePageFactory()
				->newDeletePage( $page, $this->admin() )->deleteUnsafe( 'No longer true' ) );
		}
	}

	private function must( $status ) {
		if ( !$status->isOK() ) {
			$this->fatalError( (string)$status );
		}
	}

	/** What MediaWiki does after an edit: links, categories, counts. */
	private function settle() {
		DeferredUpdates::doUpdates();
		MediaWikiServices::getInstance()->getJobRunner()->run( [] );
	}
}

$maintClass = Pages::class;
require_once RUN_MAINTENANCE_IF_MAIN;
